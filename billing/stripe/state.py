"""Read the state of a payment or a subscription from Stripe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from fractions import Fraction
from typing import Any

import stripe

from billing.stripe.client import (
    StripeConnection,
    StripeRejected,
    credits_of,
    id_of,
    metadata,
    raise_unless_missing,
    time_of,
    translating_errors,
)
from billing.stripe.payments import PaidItem, StripeReversal, StripeState, SubscriptionState


class StripeStateReader:
    """Reads :class:`StripeState`; None if it was deleted or does not concern our prices."""

    def __init__(self, connection: StripeConnection) -> None:
        self._v1 = connection.v1
        self._known: dict[str, stripe.Price] = {}

    async def session(self, session_id: str) -> StripeState | None:
        """Read a checkout session; None if there is none or it sells nothing of ours."""
        try:
            async with translating_errors():
                session = await self._v1.checkout.sessions.retrieve_async(
                    session_id, {"expand": ["line_items"]}
                )
        except StripeRejected as error:
            raise_unless_missing(error)
            return None
        if session.mode == "subscription":
            return await self.subscription(id_of(session.subscription))
        return await self._of_session(session)

    async def invoice(self, invoice_id: str) -> StripeState | None:
        """Read the subscription of an invoice; None for the invoice of a pack."""
        try:
            async with translating_errors():
                invoice = await self._v1.invoices.retrieve_async(invoice_id)
        except StripeRejected as error:
            raise_unless_missing(error)
            return None
        details = invoice.parent.subscription_details if invoice.parent else None
        return await self.subscription(id_of(details.subscription) if details else None)

    async def subscription(self, subscription_id: str | None) -> StripeState | None:
        """Read a subscription with all its paid invoices."""
        if subscription_id is None:
            return None
        try:
            async with translating_errors():
                subscription = await self._v1.subscriptions.retrieve_async(subscription_id)
                invoices = await self._v1.invoices.list_async(
                    {"subscription": subscription_id, "status": "paid", "limit": 100}
                )
                all_paid = [invoice async for invoice in invoices.auto_paging_iter()]
        except StripeRejected as error:
            raise_unless_missing(error)
            return None
        item = subscription["items"].data[0]
        sold = metadata(item.price)
        if sold.get("kind") != "plan":
            return None
        paid = [await self._of_invoice(invoice) for invoice in all_paid]
        return StripeState(
            customer_id=id_of(subscription.customer) or "",
            paid_items=tuple(paid),
            subscription=SubscriptionState(
                id=subscription.id,
                plan=sold["name"],
                status=subscription.status,
                current_period_end=time_of(item.current_period_end),
                cancel_at_period_end=subscription.cancel_at_period_end,
            ),
        )

    async def payment(self, payment_intent_id: str | None) -> StripeState | None:
        """Read a payment with its refunds and disputes."""
        if payment_intent_id is None:
            return None
        try:
            async with translating_errors():
                sessions = await self._v1.checkout.sessions.list_async(
                    {"payment_intent": payment_intent_id, "expand": ["data.line_items"]}
                )
                refunds = await self._v1.refunds.list_async(
                    {"payment_intent": payment_intent_id, "limit": 100}
                )
                disputes = await self._v1.disputes.list_async(
                    {"payment_intent": payment_intent_id, "limit": 100}
                )
        except StripeRejected as error:
            raise_unless_missing(error)
            return None
        if sessions.data:
            base = await self._of_session(sessions.data[0])
        else:
            base = await self._of_invoice_paid_by(payment_intent_id)
        if base is None:
            return None
        back = [
            StripeReversal(
                id=refund.id,
                kind="refund",
                payment_intent_id=payment_intent_id,
                amount=refund.amount,
                is_effective=refund.status not in ("failed", "canceled"),
                created_at=time_of(refund.created),
            )
            for refund in refunds.data
        ] + [
            StripeReversal(
                id=dispute.id,
                kind="dispute",
                payment_intent_id=payment_intent_id,
                amount=dispute.amount,
                # An inquiry ("warning_...") has moved no money yet, a prevented dispute never does.
                is_effective=dispute.status in ("needs_response", "under_review", "lost"),
                created_at=time_of(dispute.created),
            )
            for dispute in disputes.data
        ]
        return StripeState(base.customer_id, base.paid_items, tuple(back))

    async def everything_since(self, since: datetime) -> AsyncIterator[StripeState]:
        """Yield sales from ``since`` on and all subscriptions, with refunds and disputes.

        It makes several calls for each payment: for a nightly check, not for a request.
        """
        async with translating_errors():
            sessions = await self._v1.checkout.sessions.list_async(
                {"created": {"gte": int(since.timestamp())}, "status": "complete", "limit": 100}
            )
            bought = [item async for item in sessions.auto_paging_iter() if item.mode == "payment"]
            subscriptions = await self._v1.subscriptions.list_async({"status": "all", "limit": 100})
            running = [item.id async for item in subscriptions.auto_paging_iter()]
        for session in bought:
            intent = id_of(session.payment_intent)
            state = await (self.payment(intent) if intent else self.session(session.id))
            if state is not None:
                yield state
        for subscription_id in running:
            state = await self.subscription(subscription_id)
            if state is None:
                continue
            yield state
            for paid in state.paid_items:
                if paid.payment_intent_id is not None and paid.paid_at >= since:
                    with_reversals = await self.payment(paid.payment_intent_id)
                    if with_reversals is not None:
                        yield with_reversals

    async def _of_session(self, session: stripe.checkout.Session) -> StripeState | None:
        items = session.line_items.data if session.line_items else []
        credits = sum(credits_of(item.price) * (item.quantity or 1) for item in items if item.price)
        if session.mode != "payment" or not credits:
            return None
        paid: tuple[PaidItem, ...] = ()
        if session.payment_status in ("paid", "no_payment_required"):
            names = [metadata(item.price).get("name", "") for item in items if item.price]
            paid = (
                PaidItem(
                    id=session.id,
                    payment_intent_id=id_of(session.payment_intent),
                    offer=f"pack:{'+'.join(filter(None, names))}",
                    credits=credits,
                    amount=session.amount_total or 0,
                    currency=session.currency or "",
                    paid_at=time_of(session.created),
                ),
            )
        return StripeState(customer_id=id_of(session.customer) or "", paid_items=paid)

    async def _of_invoice_paid_by(self, payment_intent_id: str) -> StripeState | None:
        async with translating_errors():
            links = await self._v1.invoice_payments.list_async(
                {"payment": {"type": "payment_intent", "payment_intent": payment_intent_id}}
            )
        if not links.data:
            return None
        return await self.invoice(id_of(links.data[0].invoice) or "")

    async def _of_invoice(self, invoice: stripe.Invoice) -> PaidItem:
        async with translating_errors():
            links = await self._v1.invoice_payments.list_async(
                {"invoice": invoice.id, "status": "paid"}
            )
            lines = [line async for line in invoice.lines.auto_paging_iter()]
        intents = [id_of(link.payment.payment_intent) for link in links.data]
        credits, offer = Fraction(0), ""
        for line in lines:
            price = await self._price(id_of(_price_of(line)))
            if price is not None and price.unit_amount:
                # A part of a period, charged or credited at a change of plan, brings or takes the
                # same part of its credits. Were what it takes forgotten, going down and up again
                # would bring the larger plan's credits each time, paid out of Stripe's credit.
                credits += Fraction(credits_of(price) * line.amount, price.unit_amount)
                offer = f"plan:{metadata(price).get('name', '')}" if line.amount > 0 else offer
        return PaidItem(
            id=invoice.id,
            payment_intent_id=next(filter(None, intents), None),
            offer=offer or "plan",
            credits=round(credits),
            # Not the collected amount: a part may be paid out of credit from an earlier invoice.
            amount=max(0, invoice.total),
            currency=invoice.currency,
            paid_at=time_of(invoice.status_transitions.paid_at or invoice.created),
        )

    async def _price(self, price_id: str | None) -> stripe.Price | None:
        """Read a price once: the credits that it grants never change."""
        if price_id is None:
            return None
        if price_id not in self._known:
            async with translating_errors():
                self._known[price_id] = await self._v1.prices.retrieve_async(price_id)
        return self._known[price_id]


def _price_of(line: stripe.InvoiceLineItem) -> Any:
    details = line.pricing.price_details if line.pricing else None
    return details.price if details else None
