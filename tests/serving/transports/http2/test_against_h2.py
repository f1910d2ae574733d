"""The `h2` library as the opponent: it holds every frame that comes from here against the RFC."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
from tests.serving.harness import WAIT, Running, running
from tests.serving.onnx_models import identity, plain

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

h2 = pytest.importorskip("h2.connection", reason="needs h2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with running(Service(Repository(folder))) as found:
        yield found


def test_a_library_of_others_finds_no_fault_with_what_is_sent(server: Running) -> None:
    """Requests of all kinds, mixed on one connection, with windows that are given back late and little by little."""
    from h2 import events

    choice = random.Random(5)
    client = h2.H2Connection()
    client.initiate_connection()
    client.update_settings({4: 1000})  # INITIAL_WINDOW_SIZE
    paths = ["/v2", "/v2/models/scores", "/metrics", "/v2/models/none", "/openapi.json"]
    answered: dict[int, str] = {}
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as connection:
        asked = dict[int, str]()
        while len(answered) < 200:
            while len(asked) - len(answered) < 20 and len(asked) < 200:
                number = client.get_next_available_stream_id()
                asked[number] = choice.choice(paths)
                head = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", asked[number])]
                client.send_headers(number, [*head, ("x", "y" * choice.randrange(50))], end_stream=True)
            connection.sendall(client.data_to_send())
            for event in client.receive_data(connection.recv(1 << 16)):
                if isinstance(event, events.DataReceived):
                    if event.flow_controlled_length:
                        client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, events.ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
                    assert status == ("404" if asked[event.stream_id].endswith("none") else "200")
                elif isinstance(event, events.StreamEnded):
                    answered[event.stream_id] = asked[event.stream_id]
                else:
                    assert not isinstance(event, events.StreamReset | events.ConnectionTerminated), event
    assert set(answered.values()) == set(paths)
