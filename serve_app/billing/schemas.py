"""What is sold and bought, as clients write and read it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, HttpUrl, model_validator

from serve_app.http.schemas import Body, View


def _is_http(url: str) -> str:
    HttpUrl(url.replace("{CHECKOUT_SESSION_ID}", "id"))
    return url


PageUrl = Annotated[str, Field(max_length=2048), AfterValidator(_is_http)]


class OfferView(View):
    """``amount`` is in the currency's smallest unit; null where Stripe works it out."""

    name: str
    title: str
    credits: int
    amount: int | None
    currency: str


class PlanView(OfferView):
    """A plan: its credits come with each payment, its limits hold as long as it lasts."""

    interval: str | None
    max_waiting_jobs: int | None
    max_running_jobs: int | None


class PacksView(View):
    """What can be bought."""

    packs: list[OfferView]
    plans: list[PlanView]


class CheckoutBody(Body):
    """A pack or a plan, and where to go afterwards; ``{CHECKOUT_SESSION_ID}`` is filled in."""

    pack: str | None = None
    plan: str | None = None
    success_url: PageUrl | None = None
    cancel_url: PageUrl | None = None

    @model_validator(mode="after")
    def _exactly_one_offer(self) -> "CheckoutBody":
        if (self.pack is None) == (self.plan is None):
            raise ValueError("name a pack or a plan")
        return self


class CheckoutView(View):
    """Send the customer to ``url``. Credits come when Stripe says that they are paid."""

    id: str
    object: Literal["checkout"] = "checkout"
    url: str


class PortalBody(Body):
    """Where the customer comes back to."""

    return_url: PageUrl | None = None


class PortalView(View):
    """Send the customer there to change plan, card or address, or to cancel."""

    url: str


class SubscriptionView(View):
    """A subscription; ``status`` is Stripe's word: active, past_due, canceled, ..."""

    id: str
    object: Literal["subscription"] = "subscription"
    plan: str
    status: str
    current_period_end: datetime | None
    cancel_at_period_end: bool


class ReceiptView(View):
    """An invoice of Stripe's: ``url`` shows it, ``pdf`` is the file."""

    id: str
    object: Literal["receipt"] = "receipt"
    number: str | None
    status: str
    total: int
    currency: str
    created_at: datetime
    url: str | None
    pdf: str | None


class ReceivedView(View):
    """For Stripe."""

    received: bool = True
