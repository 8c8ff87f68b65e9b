"""A client of a running instance in Python: grpcio and protobuf alone, no generated code.

    from neap_client import Neap

    neap = Neap("/run/neap/neap.sock")
    for process in neap.List().processes:
        print(process.name, process.pid)

What the service is, it asks the service itself, by reflection. A call takes its request's fields by name; `timeout` is in
seconds. `Neap(socket, "process_manager.ProcessManager")` is the older system's service.
"""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2


class Neap:
    """A service of an instance; each of its calls is a method."""

    def __init__(self, socket, service="neap.v1.Neap"):
        # Over a Unix socket grpcio sends the path as its authority, which HTTP/2 servers refuse: give it a name.
        options = [("grpc.default_authority", "localhost")]
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=options)
        self._pool = descriptor_pool.DescriptorPool()
        self._pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
        for file in self._files_of(service):
            self._pool.AddSerializedFile(file)
        self._service = self._pool.FindServiceByName(service)

    def __getattr__(self, name):
        method = self._service.methods_by_name.get(name)
        if method is None:
            raise AttributeError(f"{self._service.full_name} has no call {name}")
        shape = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(shape)
        request, answer = self._class(method.input_type), self._class(method.output_type)
        kind = f"{'stream' if shape.client_streaming else 'unary'}_{'stream' if shape.server_streaming else 'unary'}"
        path = f"/{self._service.full_name}/{name}"
        call = getattr(self._channel, kind)(path, request.SerializeToString, answer.FromString)
        if shape.client_streaming:
            return call
        return lambda timeout=None, **fields: call(request(**fields), timeout=timeout)

    def message(self, name):
        """The class of a message of the service's package: `neap.message("Spec")(name="web")`."""
        return self._class(self._pool.FindMessageTypeByName(f"{self._service.file.package}.{name}"))

    def enum(self, kind, number):
        """The name of an enum's value: `neap.enum("State", process.state)`."""
        values = self._pool.FindEnumTypeByName(f"{self._service.file.package}.{kind}").values_by_number
        return values[number].name

    def close(self):
        self._channel.close()

    def _class(self, descriptor):
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self._pool).GetPrototype(descriptor)

    def _files_of(self, service):
        """The files that describe a service, serialized."""
        name = service.encode()
        ask = self._channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        # ServerReflectionRequest { file_containing_symbol = 4 } -> { file_descriptor_response = 4 { files = 1 } }
        (answer,) = ask(iter([b"\x22" + bytes([len(name)]) + name]), timeout=10)
        return [file for response in _parts(answer, 4) for file in _parts(response, 1)]


def _parts(data, wanted):
    """What the fields of this number in a message hold; none of the others is anything but bytes or a number."""
    place, found = 0, []
    while place < len(data):
        tag, place = _varint(data, place)
        value, place = _varint(data, place)
        if tag & 7 == 2:
            if tag >> 3 == wanted:
                found.append(data[place : place + value])
            place += value
    return found


def _varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
