"""A client of the older system's service, with messages that it declares by itself, field by field.

It goes through all ten calls and the statuses of what is refused, then finds the service by reflection and compares
what it declared with what is served. Needs grpcio and protobuf, and no generated code.
"""

import sys
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "string": Field.TYPE_STRING,
    "bytes": Field.TYPE_BYTES,
    "bool": Field.TYPE_BOOL,
    "u32": Field.TYPE_UINT32,
    "u64": Field.TYPE_UINT64,
    "i32": Field.TYPE_INT32,
    "i64": Field.TYPE_INT64,
}

ENUMS = {
    "ProcessState": "UNKNOWN CREATED STARTING RUNNING STOPPING STOPPED CRASHED EXITED ZOMBIE",
    "RestartPolicy": "NEVER ALWAYS ON_FAILURE ON_SUCCESS",
    "KillSignal": "SIGTERM SIGINT SIGQUIT SIGKILL SIGHUP SIGUSR1 SIGUSR2",
    "ProcessType": "SIMPLE FORKING ONESHOT NOTIFY",
    "KillMode": "CONTROL_GROUP PROCESS_GROUP PROCESS MIXED",
    "HealthCheckType": "HTTP TCP EXEC",
}

# Each field is NAME NUMBER TYPE; `*` is repeated, `?` optional, `map` a map of text to text.
MESSAGES = {
    "HealthCheck": """type 1 HealthCheckType, interval 2 u64, timeout 3 u64, retries 4 u32, start_period 5 u64,
        restart_after 6 u32, http_endpoint 10 string, http_method 11 string, http_expected_status 12 u32,
        tcp_host 20 string, tcp_port 21 u32, exec_command 30 string, exec_args 31 string*""",
    "ResourceLimits": """cpu_request 1 u64, cpu_limit 2 u64, memory_request 3 u64, memory_limit 4 u64,
        pids_limit 5 u32, oom_score_adj 6 i32""",
    "CreateRequest": """name 1 string, command 2 string, args 3 string*, restart 4 RestartPolicy, restart_sec 5 u64,
        restart_max_delay 6 u64, start_limit_burst 7 u32, start_limit_interval 8 u64, working_dir 9 string,
        env 10 map, environment_file 11 string, pidfile 12 string, auto_start 13 bool, stdout 14 string,
        stderr 15 string, timeout_start_sec 16 u64, timeout_stop_sec 17 u64, kill_signal 18 KillSignal,
        kill_mode 19 KillMode, success_exit_status 20 i32*, exec_start_pre 21 string*, exec_start_post 22 string*,
        exec_stop_post 23 string*, user 24 string, group 25 string, after 26 string*, before 27 string*,
        requires 28 string*, wants 29 string*, binds_to 30 string*, conflicts 31 string*,
        process_type 32 ProcessType, health_check 33 HealthCheck, resource_limits 34 ResourceLimits,
        condition_path_exists 35 string*, runtime_directory 36 string*, ambient_capabilities 37 string*,
        description 38 string""",
    "CreateResponse": "id 1 string, state 2 ProcessState",
    "StartRequest": "id 1 string",
    "StartResponse": "state 1 ProcessState",
    "StopRequest": "id 1 string",
    "StopResponse": "state 1 ProcessState",
    "ListRequest": "",
    "ListResponse": "processes 1 Process*",
    "Process": """id 1 string, name 2 string, pid 3 u32, command 4 string, args 5 string*, state 6 ProcessState,
        run_count 7 u32, exit_code 8 i32, signal 9 string, created_at 10 i64, started_at 11 i64, ended_at 12 i64""",
    "ReloadConfigRequest": "",
    "ReloadConfigResponse": "",
    "DescribeRequest": "id 1 string",
    "DescribeResponse": "detail 1 ProcessDetail",
    "ProcessDetail": """id 1 string, name 2 string, description 3 string, pid 4 u32, state 5 ProcessState,
        run_count 6 u32, exit_code 7 i32, signal 8 string, command 9 string, args 10 string*, created_at 11 i64,
        started_at 12 i64, ended_at 13 i64, working_dir 14 string, env 15 map, environment_file 16 string,
        restart_policy 17 string, restart_sec 18 u64, restart_max_delay 19 u64, consecutive_failures 20 u32,
        start_limit_burst 21 u32, start_limit_interval 22 u64, timeout_start_sec 23 u64, timeout_stop_sec 24 u64,
        kill_signal_str 25 string, kill_mode_val 26 KillMode, pidfile 27 string, stdout 28 string, stderr 29 string,
        user 30 string, group 31 string, success_exit_status 32 i32*, exec_start_pre 33 string*,
        exec_start_post 34 string*, exec_stop_post 35 string*, after 36 string*, before 37 string*,
        requires 38 string*, wants 39 string*, binds_to 40 string*, conflicts 41 string*,
        process_type 42 ProcessType, health_check 43 HealthCheck, health_status 44 string,
        health_check_failures 45 u32, last_health_check 46 i64, resource_limits 47 ResourceLimits,
        condition_path_exists 48 string*, runtime_directory 49 string*, ambient_capabilities 50 string*""",
    "DeleteRequest": "id 1 string, force 2 bool",
    "DeleteResponse": "",
    "GetResourceUsageRequest": "id 1 string",
    "GetResourceUsageResponse": "usage 1 ResourceUsageInfo",
    "ResourceUsageInfo": """memory_current 1 u64, memory_limit 2 u64, cpu_usage_usec 3 u64, cpu_user_usec 4 u64,
        cpu_system_usec 5 u64, pids_current 6 u32, pids_limit 7 u32""",
    "UpdateRequest": """id 1 string, restart_policy 2 string?, timeout_stop_sec 3 u64?, restart_sec 4 u64?,
        restart_max 5 u64?, resource_limits 6 ResourceLimits?, health_check 7 HealthCheck?,
        success_exit_status 8 u32*, env 9 string*, env_file 10 string?, working_dir 11 string?, user 12 string?,
        group 13 string?, runtime_directory 14 string*, ambient_capabilities 15 string*, kill_mode 16 string?,
        kill_signal 17 string?, pidfile 18 string?, restart_process 19 bool, dry_run 20 bool""",
    "UpdateResponse": "updated_fields 1 string*, restart_required_fields 2 string*, process_restarted 3 bool",
    "GetStatusRequest": "",
    "GetStatusResponse": """ready 1 bool, version 2 string, uptime_seconds 3 u64, total_processes 4 u32,
        running_processes 5 u32, stopped_processes 6 u32, failed_processes 7 u32, supervisor_healthy 8 bool,
        repository_healthy 9 bool, config_path 10 string""",
}

CALLS = "Create Start Stop List ReloadConfig Describe Delete GetResourceUsage Update GetStatus".split()

REFLECTION = {
    "ServerReflectionRequest": "host 1 string, file_containing_symbol 4 string?, list_services 7 string?",
    "ServerReflectionResponse": """valid_host 1 string, file_descriptor_response 4 FileDescriptorResponse,
        list_services_response 6 ListServiceResponse, error_response 7 ErrorResponse""",
    "FileDescriptorResponse": "file_descriptor_proto 1 bytes*",
    "ListServiceResponse": "service 1 ServiceResponse*",
    "ServiceResponse": "name 1 string",
    "ErrorResponse": "error_code 1 i32, error_message 2 string",
}


def declare(package, enums, messages):
    """A file of these enums and messages."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, values in enums.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=value, number=number)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for written in filter(None, (field.split() for field in fields.split(","))):
            add_field(package, enums, message, *written)
    return file


def add_field(package, enums, message, name, number, kind):
    field = message.field.add(name=name, number=int(number), label=Field.LABEL_OPTIONAL)
    bare = kind.rstrip("*?")
    if kind.endswith("*"):
        field.label = Field.LABEL_REPEATED
    if kind.endswith("?"):
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
    if bare == "map":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        for place, part in enumerate(["key", "value"], 1):
            entry.field.add(name=part, number=place, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
        field.label = Field.LABEL_REPEATED
        field.type = Field.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry.name}"
    elif bare in SCALARS:
        field.type = SCALARS[bare]
    else:
        field.type = Field.TYPE_ENUM if bare in enums else Field.TYPE_MESSAGE
        field.type_name = f".{package}.{bare}"


def classes(file):
    """The classes of a file's messages, by name."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    make = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    found = (pool.FindMessageTypeByName(f"{file.package}.{message.name}") for message in file.message_type)
    return {descriptor.name: make(descriptor) for descriptor in found}


DECLARED = declare("process_manager", ENUMS, MESSAGES)
PM = classes(DECLARED)
STATE = {name: number for number, name in enumerate(ENUMS["ProcessState"].split())}


class Client:
    """The ten calls."""

    def __init__(self, channel):
        self.channel = channel

    def __getattr__(self, call):
        return lambda timeout=60, **fields: self._method(call)(PM[f"{call}Request"](**fields), timeout=timeout)

    def future(self, call, **fields):
        """Begins a call, and does not wait for its answer."""
        return self._method(call).future(PM[f"{call}Request"](**fields), timeout=60)

    def _method(self, call):
        return self.channel.unary_unary(
            f"/process_manager.ProcessManager/{call}",
            request_serializer=PM[f"{call}Request"].SerializeToString,
            response_deserializer=PM[f"{call}Response"].FromString,
        )


def refused(code, words, call, **fields):
    """The call ends with this status, and words that say why."""
    try:
        answer = call(**fields)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} rather than {code}: {error.details()}"
        assert words in error.details(), f"no {words!r} in {error.details()!r}"
    else:
        raise AssertionError(f"not refused: {answer}")


def wait_until(is_so, what):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"not so in a minute: {what}"


def ten_calls(client):
    web = dict(name="web", command="sleep", args=["1000"], description="a web server", working_dir="/tmp")
    made = client.Create(
        restart=1,
        restart_sec=2,
        env={"PORT": "8080"},
        success_exit_status=[0, 143],
        exec_start_pre=["true"],
        health_check=PM["HealthCheck"](type=2, exec_command="true", interval=5),
        resource_limits=PM["ResourceLimits"](memory_limit=64 << 20, cpu_request=500),
        **web,
    )
    assert made.id and made.state == STATE["CREATED"], made
    assert client.Start(id="web").state == STATE["RUNNING"]
    listed = {process.name: process for process in client.List().processes}["web"]
    assert (listed.id, listed.command, list(listed.args)) == (made.id, "sleep", ["1000"]), listed
    assert listed.pid > 0 and listed.run_count == 1 and listed.started_at >= listed.created_at > 0, listed
    detail = client.Describe(id=made.id).detail
    assert (detail.restart_policy, detail.restart_sec, detail.timeout_stop_sec) == ("always", 2, 90), detail
    assert (dict(detail.env), list(detail.success_exit_status)) == ({"PORT": "8080"}, [0, 143]), detail
    assert (detail.health_check.exec_command, detail.health_check.interval) == ("true", 5), detail
    assert detail.resource_limits.memory_limit == 64 << 20 and detail.resource_limits.cpu_request == 500, detail
    assert (detail.working_dir, detail.stdout, detail.kill_signal_str) == ("/tmp", "inherit", "SIGTERM"), detail
    usage = client.GetResourceUsage(id="web").usage
    assert usage.memory_current > 0 and usage.pids_current >= 1, usage

    changed = client.Update(
        id="web",
        restart_policy="on-failure",
        resource_limits=PM["ResourceLimits"](memory_limit=32 << 20),
        health_check=PM["HealthCheck"](type=2, exec_command="true", interval=6),
    )
    assert set(changed.updated_fields) >= {"restart_policy", "health_check"}, changed
    assert not changed.restart_required_fields and not changed.process_restarted, changed
    assert client.Describe(id="web").detail.pid == listed.pid, "it keeps its pid"
    changed = client.Update(id="web", env=["PORT=9090"], dry_run=True)
    assert list(changed.restart_required_fields) == ["env"], changed
    changed = client.Update(id="web", env=["PORT=9090"], restart_process=True)
    assert changed.process_restarted and list(changed.updated_fields) == ["env"], changed
    detail = client.Describe(id="web").detail
    assert detail.pid not in (0, listed.pid) and detail.env["PORT"] == "9090", detail

    status = client.GetStatus()
    assert status.ready and status.supervisor_healthy and status.repository_healthy, status
    assert (status.total_processes, status.running_processes, status.failed_processes) == (1, 1, 0), status
    assert client.Stop(id="web").state == STATE["STOPPED"]
    assert client.Describe(id="web").detail.ended_at > 0
    client.Delete(id="web")
    assert not client.List().processes
    client.ReloadConfig()
    started = client.Create(auto_start=True, **web)
    assert started.state == STATE["RUNNING"] and started.id != made.id, started
    client.Delete(id=started.id, force=True)
    assert client.GetStatus().total_processes == 0


def statuses(client):
    code = grpc.StatusCode
    client.Create(name="web", command="sleep", args=["1000"], auto_start=True)
    refused(code.ALREADY_EXISTS, "`web` exists already", client.Create, name="web", command="sleep")
    for call in ["Start", "Stop", "Describe", "Delete", "GetResourceUsage", "Update"]:
        refused(code.NOT_FOUND, "no process `wbe`; did you mean `web`?", getattr(client, call), id="wbe")
        refused(code.INVALID_ARGUMENT, "id: is missing", getattr(client, call), id="")
    refused(code.INVALID_ARGUMENT, "name", client.Create, command="sleep")
    refused(code.INVALID_ARGUMENT, "command", client.Create, name="bad")
    refused(code.INVALID_ARGUMENT, "kill_mode: 9 is none of", client.Create, name="bad", command="x", kill_mode=9)
    refused(code.INVALID_ARGUMENT, "nobody", client.Create, name="bad", command="x", requires=["nobody"])
    refused(code.INVALID_ARGUMENT, "restart_policy: expected one of", client.Update, id="web", restart_policy="maybe")
    # A state that does not allow it, and a condition that does not hold.
    refused(code.FAILED_PRECONDITION, "stop it first, or use force", client.Delete, id="web")
    client.Create(name="skipped", command="true", condition_path_exists=["/nonexistent/neap"])
    refused(code.FAILED_PRECONDITION, "/nonexistent/neap", client.Start, id="skipped")
    client.Create(name="gone", command="/nonexistent/program")
    refused(code.ABORTED, "/nonexistent/program", client.Start, id="gone")
    # It never says that it is ready. What was begun goes on.
    client.Create(name="quiet", command="sleep", args=["1000"], process_type=3)
    begun = client.future("Start", id="quiet")
    wait_until(lambda: client.Describe(id="quiet").detail.state == STATE["STARTING"], "it is being started")
    refused(code.DEADLINE_EXCEEDED, "", lambda **fields: client.Start(timeout=0.3, **fields), id="quiet")
    begun.cancel()
    assert client.Describe(id="quiet").detail.state == STATE["STARTING"]
    for name in ["web", "skipped", "gone", "quiet"]:
        client.Delete(id=name, force=True)


def discovery(channel):
    messages = classes(declare("grpc.reflection.v1alpha", {}, REFLECTION))
    ask = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=messages["ServerReflectionRequest"].SerializeToString,
        response_deserializer=messages["ServerReflectionResponse"].FromString,
    )
    request = messages["ServerReflectionRequest"]
    asked = [request(list_services="*"), request(file_containing_symbol="process_manager.ProcessManager")]
    services, files = ask(iter(asked), timeout=30)
    names = {service.name for service in services.list_services_response.service}
    assert {"process_manager.ProcessManager", "neap.v1.Neap"} <= names, names
    parsed = map(descriptor_pb2.FileDescriptorProto.FromString, files.file_descriptor_response.file_descriptor_proto)
    served = next(file for file in parsed if file.package == "process_manager")
    assert shape(served) == shape(DECLARED), difference(shape(served), shape(DECLARED))
    (service,) = served.service
    calls = [(method.name, method.input_type, method.output_type) for method in service.method]
    expected = [(call, f".process_manager.{call}Request", f".process_manager.{call}Response") for call in CALLS]
    assert sorted(calls) == sorted(expected), calls


def shape(file):
    """Every field of every message and every value of every enum, by its name."""
    shape = {}
    for message in file.message_type:
        shape[message.name] = None
        for field in message.field:
            facts = (field.number, field.type, field.label, field.type_name, field.proto3_optional)
            shape[f"{message.name}.{field.name}"] = facts
    for enum in file.enum_type:
        for value in enum.value:
            shape[f"{enum.name}.{value.name}"] = value.number
    return shape


def difference(served, declared):
    keys = sorted(served.keys() | declared.keys())
    return [(key, served.get(key), declared.get(key)) for key in keys if served.get(key) != declared.get(key)]


def main():
    # Over a Unix socket this client sends the path as its authority, which HTTP/2 servers refuse.
    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix:{sys.argv[1]}", options=options) as channel:
        client = Client(channel)
        ten_calls(client)
        statuses(client)
        discovery(channel)
    print("done")


main()
