"""A real S3 server on loopback, and one empty bucket of it for each test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

SECRET = "secret-for-tests-only"
KEYS = {"AWS_ACCESS_KEY_ID": "key-for-tests-only", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}


class S3Server:
    """Moto's S3 in a thread."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def make_bucket(self) -> Bucket:
        """Return a new, empty bucket."""
        bucket = Bucket(f"b-{uuid4().hex}", self.environment)
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket


@dataclass(frozen=True)
class Bucket:
    """A bucket, as another program than ours sees it."""

    name: str
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """Where the store lies in it."""
        return f"s3://{self.name}/store"

    @property
    def client(self) -> Any:
        """AWS' own client."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SECRET,
            region_name=KEYS["AWS_DEFAULT_REGION"],
        )

    def objects(self) -> dict[str, bytes]:
        """Return every object by its key below the store's URL."""
        client = self.client
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=self.name).get("Contents", [])]
        return {key.removeprefix("store/"): client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}

    def put(self, key: str, content: bytes) -> None:
        """Replace an object."""
        self.client.put_object(Bucket=self.name, Key=f"store/{key}", Body=content)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=self.name, Key=f"store/{key}")


def for_a_process(root: Path, bucket: Bucket) -> dict[str, str]:
    """Return the environment of a process on a machine of its own that shares the bucket."""
    return {**os.environ, **bucket.environment, "DISTILL_HOME": str(root), "DISTILL_STORE_URL": bucket.url}
