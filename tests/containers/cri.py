"""A client of Kubernetes' container runtime interface: what the kubelet says to containerd, over its unix
socket. The messages are compiled from api.proto when the tests begin; the calls are found by their names.

    runtime = Runtime(socket, scratch)
    runtime.call("RunPodSandbox", config=...)     a dictionary for each message
"""

import pathlib
import subprocess
import sys

import grpc

HERE = pathlib.Path(__file__).resolve().parent


class Runtime:
    def __init__(self, socket, scratch):
        subprocess.run(["protoc", f"--proto_path={HERE}", f"--python_out={scratch}", "api.proto"], check=True)
        sys.path.insert(0, str(scratch))
        import api_pb2
        self.messages = api_pb2
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    def call(self, name, within=60, **fields):
        """Its answer; a refusal is grpc.RpcError."""
        request = getattr(self.messages, f"{name}Request")
        answer = getattr(self.messages, f"{name}Response")
        method = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{name}", request.SerializeToString,
                                          answer.FromString)
        return method(request(**fields), timeout=within)

    def close(self):
        self.channel.close()
