"""What a program in Python does with an instance: without generated code, by names and bytes."""

import sys

import grpc

socket = sys.argv[1]
# Over a Unix socket this client sends the path as its authority, which HTTP/2 servers refuse.
options = [("grpc.default_authority", "localhost")]
with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
    call = lambda method, request=b"": channel.unary_unary(method)(request, timeout=20)
    assert b"web" in call("/neap.v1.Neap/List")
    assert b"web" in call("/process_manager.ProcessManager/List")
    # StartRequest { names: ["web"] }
    assert b"web" in call("/neap.v1.Neap/Start", b"\x0a\x03web")
    try:
        call("/neap.v1.Neap/Start", b"\x0a\x06nobody")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        assert "nobody" in error.details(), error
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert b"neap.v1.ErrorDetail" in details and b"not_found" in details, details
    else:
        raise AssertionError("nobody was started")
    try:
        # WaitRequest { names: ["web"], states: [STATE_CRASHED] }
        channel.unary_unary("/neap.v1.Neap/Wait")(b"\x0a\x03web\x12\x01\x0a", timeout=0.2)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    else:
        raise AssertionError("it has crashed")
    # Without a request: what is kept, and the end.
    events = list(channel.unary_stream("/neap.v1.Neap/Watch")(b"", timeout=20))
    assert any(b"process.running" in event for event in events), events
    # HealthCheckRequest {} -> SERVING
    assert call("/grpc.health.v1.Health/Check") == b"\x08\x01"
print("done")
