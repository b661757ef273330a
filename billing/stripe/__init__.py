"""What is paid at Stripe: the gateway to it, the inbox of its events, and how they are booked."""
