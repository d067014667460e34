"""Settings of the dashboard's process."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from bentos.core.settings import Settings

__all__ = ["ROLES", "DashboardSettings", "Role"]

Role: TypeAlias = Literal["analyst", "scientist", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)


def _words(value: Any) -> Any:
    return value.replace(",", " ").split() if isinstance(value, str) else value


class DashboardSettings(Settings):
    """Settings of the dashboard. Each field is read from ``FRAUD_<NAME>``."""

    dashboard_service_url: str = Field(
        default="http://127.0.0.1:3000", description="Where the scoring service answers HTTP."
    )
    dashboard_service_key: SecretStr | None = Field(
        default=None,
        description="API key for the service, with the roles score and feedback. None when the service asks nobody.",
    )
    dashboard_timeout_seconds: float = Field(
        default=2.0, gt=0, le=60, description="How long a page waits for one answer of the service, in seconds."
    )
    dashboard_upload_timeout_seconds: float = Field(
        default=120.0, gt=0, le=600, description="How long a file may take to the service or back, in seconds."
    )
    dashboard_refresh_seconds: float = Field(
        default=5.0, ge=1, le=300, description="How often the overview looks again, in seconds."
    )
    dashboard_prometheus_url: str | None = Field(
        default=None,
        description="Prometheus that scrapes the service. None means that pages read the service's own /metrics"
        " and /drift: of one server, and from when a page was first opened or that server was started.",
    )
    dashboard_login: bool = Field(
        default=False,
        description="Whether users log in by OpenID Connect, as [auth] of Streamlit's secrets.toml says. Off means that"
        " whoever reaches the dashboard has the roles of FRAUD_DASHBOARD_ROLES.",
    )
    dashboard_login_hours: float = Field(
        default=12.0, gt=0, le=720, description="How long a login lasts before it is asked for again, in hours."
    )
    dashboard_allow_unauthenticated: bool = Field(
        default=False,
        description="Whether a dashboard that other machines reach shows itself without login: something else guards"
        " the network then.",
    )
    dashboard_roles: Annotated[frozenset[Role], NoDecode, BeforeValidator(_words)] = Field(
        default=frozenset(ROLES),
        description="Without login, the roles of everybody: analyst, scientist, operator, with commas between.",
    )
    dashboard_roles_claim: str = Field(
        default="roles", min_length=1, description="With login, the claim of the token that lists a user's roles."
    )
    dashboard_release: str | None = Field(
        default=None,
        description="Helm release whose rollouts are shown, on the cluster of the kubeconfig or of the pod. None means"
        " that no cluster is asked.",
    )
    dashboard_namespace: str | None = Field(
        default=None, description="Its namespace. None means the kubeconfig's, or the pod's."
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow server. None means the SQLite database under FRAUD_HOME.",
    )
