-- Sends the body in the file named by QUESTION; where JSON_LENGTH is set, only so much of it is JSON.
wrk.method = "POST"
wrk.path = os.getenv("TARGET")
wrk.headers["Content-Type"] = "application/json"
local length = os.getenv("JSON_LENGTH")
if length then wrk.headers["Inference-Header-Content-Length"] = length end
local file = assert(io.open(os.getenv("QUESTION"), "rb"))
wrk.body = file:read("*a")
file:close()
