"""HTTP/2 (RFC 9113) without TLS or with it, on the port of HTTP/1.1; what begins with its preface comes here."""
