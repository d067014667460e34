"""The cluster as the other modules see it. The one place that imports Kubernetes' client.

Objects are plain dicts as in YAML, so that what is sent can be checked by Kubernetes' own schemas, and what comes needs
no class for each version of the API. Errors become the product's:

================================ ======================================================
ConfigError                      no kubeconfig, no such context
Unauthenticated, NotAllowed      401, 403
NotFound, Conflict, InvalidInput 404, 409, 400 and 422
Unavailable                      no answer, or another error of the API server
================================ ======================================================
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from typing import Any, Final, Literal

from bentos.core.errors import (
    ConfigError,
    Conflict,
    FieldError,
    FraudError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Unauthenticated,
    Unavailable,
)

__all__ = ["Cluster", "connect"]

#: Seconds to connect, and for an answer.
_LIMITS: Final = (5, 30)
#: A log is silent as long as the program is.
_LOG_LIMITS: Final = (5, 300)
_MANAGER: Final = "fraud-platform-k8s"


class Cluster:
    """A namespace of a cluster.

    Parameters
    ----------
    api
        Kubernetes' client.
    namespace
        To work in.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        self._api = api
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)
        self.namespace = namespace
        self.address = str(api.configuration.host)

    def pod_templates(self, selector: str) -> list[dict[str, Any]]:
        """PodTemplates by label."""
        return self._items(self._core.list_namespaced_pod_template, label_selector=selector)

    def jobs(self, selector: str) -> list[dict[str, Any]]:
        """Jobs by label."""
        return self._items(self._batch.list_namespaced_job, label_selector=selector)

    def job(self, name: str) -> dict[str, Any] | None:
        """A Job, None when there is none of that name."""
        try:
            return self._call(self._batch.read_namespaced_job, name, self.namespace)
        except NotFound:
            return None

    def cron_job(self, name: str) -> dict[str, Any] | None:
        """A CronJob, None when there is none of that name."""
        try:
            return self._call(self._batch.read_namespaced_cron_job, name, self.namespace)
        except NotFound:
            return None

    def create_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """Create a Job; what the cluster made of it."""
        return self._call(self._batch.create_namespaced_job, self.namespace, job, field_manager=_MANAGER)

    def delete_job(self, name: str) -> None:
        """Delete a Job after its pods (foreground); one that is gone is no error."""
        with contextlib.suppress(NotFound):
            self._call(self._batch.delete_namespaced_job, name, self.namespace, propagation_policy="Foreground")

    def pods_of(self, job: str) -> list[dict[str, Any]]:
        """Pods of a Job, the oldest first."""
        found = self._items(self._core.list_namespaced_pod, label_selector=f"batch.kubernetes.io/job-name={job}")
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def warnings_of(self, uid: str) -> list[dict[str, Any]]:
        """Events of type Warning about an object."""
        return self._items(self._core.list_namespaced_event, field_selector=f"involvedObject.uid={uid},type=Warning")

    def ask(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        body: Any = None,
        content: str = "application/json",
        **query: str,
    ) -> dict[str, Any]:
        """Any other call of the API, by its path.

        Parameters
        ----------
        content
            Type of the body; of a patch it says which kind.
        query
            Parameters, such as ``labelSelector``.
        """
        headers = {"Accept": "application/json", "Content-Type": content}
        with _translated(self.address):
            response = self._api.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=_LIMITS,
            )
            found: dict[str, Any] = json.loads(response.data)
            return found

    @contextlib.contextmanager
    def log(self, pod: str) -> Iterator[Iterator[bytes]]:
        """What a pod's container prints from its start on, in pieces, with times; ends when the container does."""
        with _translated(self.address):
            response = self._core.read_namespaced_pod_log(
                pod, self.namespace, follow=True, timestamps=True, _preload_content=False, _request_timeout=_LOG_LIMITS
            )
        try:
            yield self._pieces(response)
        finally:
            response.close()
            response.release_conn()

    def _pieces(self, response: Any) -> Iterator[bytes]:
        with _translated(self.address):
            yield from response.stream(amt=None, decode_content=True)

    def _items(self, call: Any, **selection: str) -> list[dict[str, Any]]:
        return list(self._call(call, self.namespace, **selection)["items"])

    def _call(self, call: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        with _translated(self.address):
            response = call(*arguments, **options, _preload_content=False, _request_timeout=_LIMITS)
            found: dict[str, Any] = json.loads(response.data)
            return found


def connect(context: str | None = None, namespace: str | None = None) -> Cluster:
    """The cluster of the kubeconfig, or the one that this process runs in.

    Parameters
    ----------
    context
        Of the kubeconfig; None means its current one.
    namespace
        None means the context's, or the pod's.

    Raises
    ------
    ConfigError
        When there is no usable kubeconfig.
    """
    from kubernetes import client, config

    # It tells of every attempt of its own; errors come as exceptions.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    settings = client.Configuration()
    settings.retries = False
    own = "default"
    # The client reads the variable once and for all, when it is imported.
    place = os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        if context is None and _within():
            config.load_incluster_config(settings)
            with open(_NAMESPACE_FILE, encoding="utf-8") as file:  # noqa: PTH123
                own = file.read().strip()
        else:
            config.load_kube_config(place, context=context, client_configuration=settings)
            contexts, current = config.list_kube_config_contexts(place)
            chosen = next((item for item in contexts if item["name"] == context), current)
            own = chosen["context"].get("namespace") or own
    except (config.ConfigException, OSError, TypeError, KeyError) as error:
        raise ConfigError(
            f"no cluster to talk to: {place} cannot be used ({error}); set KUBECONFIG to a cluster's file"
            " (`kubectl cluster-info` must work), or choose one of its contexts with --context"
        ) from error
    return Cluster(client.ApiClient(settings), namespace or own)


_NAMESPACE_FILE: Final = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def _within() -> bool:
    """Whether this is a pod with an account of its own, and nobody named another cluster."""
    return "KUBECONFIG" not in os.environ and os.path.exists(_NAMESPACE_FILE)  # noqa: PTH110


@contextlib.contextmanager
def _translated(address: str) -> Iterator[None]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise _explained(error) from error
    except (HTTPError, OSError) as error:
        reason = str(error).rpartition(": ")[2]
        raise Unavailable(f"the cluster at {address} does not answer ({type(error).__name__}: {reason})") from error


def _explained(error: Any) -> FraudError:
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.reason)
    if error.status == 401:
        return Unauthenticated(f"the cluster does not know who asks (401 {said}): log in to it again")
    if error.status == 403 and "exceeded quota" in said:
        return NotAllowed(f"the namespace's quota is used up: {said}")
    if error.status == 403:
        return NotAllowed(f"the cluster does not allow it: {said}. docs/jobs_on_kubernetes.md lists the rights needed")
    kinds: dict[int, type[FraudError]] = {404: NotFound, 409: Conflict}
    if error.status in {400, 422}:
        return InvalidInput([FieldError("cluster", said)])
    return kinds.get(error.status, Unavailable)(f"the cluster answers {error.status}: {said}")
