"""Small documents in a bucket: written whole, read whole."""

from contextlib import closing

from pydantic import SecretStr

from edgelift.s3 import get_if_there, host_of, make_client, s3_errors

_CONNECTIONS = 16
_RIGHTS = "allow s3:GetObject, s3:PutObject and s3:ListBucket (else what is not there is denied) for these keys"


class S3Documents:
    """Documents by name, in `bucket` under `prefix`; safe to share between threads.

    Without `endpoint` that is what boto3 finds, or AWS; without keys, too. Raises `ConfigurationError` for settings
    that cannot be used; nothing is asked of the server yet.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key: SecretStr | None = None,
        secret_key: SecretStr | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._place = host_of(endpoint)
        self._client = make_client(
            endpoint=endpoint,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            ca_cert=None,
            insecure=False,
            connections=_CONNECTIONS,
        )

    def read(self, name: str) -> bytes | None:
        """The document `name`; None where there is none. Raises `StoreError` where the server fails or refuses."""
        key = self._prefix + name
        with s3_errors(f"read s3://{self._bucket}/{key}", self._place, _RIGHTS):
            answer = get_if_there(self._client, Bucket=self._bucket, Key=key)
            if answer is None:
                return None
            with closing(answer["Body"]) as body:
                return body.read()

    def write(self, name: str, content: bytes) -> None:
        """Keep `content` as `name`, in place of what was there; raises what `read` does."""
        key = self._prefix + name
        with s3_errors(f"write s3://{self._bucket}/{key}", self._place, _RIGHTS):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content)
