"""The invented case that all three modalities tell: who, what failed, what was written and what was said.

Everything here is fiction: the shop, the bank and the people do not exist, the card number is the public
Visa test number, the phone numbers are from the 555-01xx range that is reserved for fiction, the e-mail
addresses are under example.com.
Times are seconds relative to the start of the phone call (the demo's now): a chat an hour ago has about -3600.
"""

from dataclasses import dataclass
from typing import Literal

Role = Literal["customer", "bot", "agent"]

SUBJECT_ID = "cust-4711"
CUSTOMER_NAME = "Dana Whitfield"
CHAT_ID = "conv-4711-chat"
CALL_ID = "conv-4711-call"

PII = {
    "card": ("4111 1111 1111 1111",),
    "phone": ("(212) 555-0142", "212 555 0142", "two one two. five five five. oh one four two"),
    "email": ("dana.whitfield@example.com",),
}
"""Kind → every way it is written or spoken in the case. None of it may be retrievable in clear."""


@dataclass(frozen=True, slots=True)
class Line:
    """One chat message, `offset_s` seconds from now."""

    offset_s: int
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Screen:
    """One page to photograph. `width` x `height` in CSS pixels; `scale` device pixels for each."""

    name: str
    offset_s: int
    width: int
    height: int
    scale: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One spoken turn. `gap_s`: silence since the previous turn ended; negative means that they overlap."""

    role: Literal["agent", "customer"]
    gap_s: float
    text: str


CHAT = (
    Line(-4080, "bot", "Hi, I'm Fern, Larkfield Outdoor's assistant. How can I help you today?"),
    Line(-4046, "customer", "hi, my payment keeps failing at checkout. it's failed twice now"),
    Line(
        -4043,
        "bot",
        "I'm sorry about that. Could you give me your order number and the e-mail address on your account?",
    ),
    Line(-4001, "customer", "order LF-482193, email is dana.whitfield@example.com"),
    Line(
        -3997,
        "bot",
        "Thanks, Dana. I found order LF-482193: one Ridgeline 2 tent and one footprint, $186.40, payment pending. "
        "What do you see when you try to pay?",
    ),
    Line(
        -3921,
        "customer",
        "I put in my card, it jumps to my bank's page, that spins forever and then I'm back in the shop with "
        '"Payment failed", error PMT-402, 3-D Secure timeout. I\'m uploading two screenshots',
    ),
    Line(
        -3868,
        "bot",
        "Thank you, both screenshots arrived. PMT-402 means that your bank's 3-D Secure confirmation did not reach "
        "us in time, so the payment was not completed. Which card are you using?",
    ),
    Line(-3824, "customer", "my Visa, 4111 1111 1111 1111. same card as on my last two orders, it always worked"),
    Line(
        -3820,
        "bot",
        "Please don't share your full card number in this chat; we will never ask for it. Could you allow pop-ups, "
        "open your banking app first and try once more, on another device if you can?",
    ),
    Line(-3790, "customer", "ok. popups are allowed already. I'll do it on my phone this time"),
    Line(
        -3246,
        "customer",
        "nope, third time, exactly the same PMT-402. screenshot from my phone attached. and now it says I have no "
        "attempts left??",
    ),
    Line(
        -3241,
        "bot",
        "I'm sorry, Dana. After three failed attempts the card is locked for this order for 24 hours. Your items "
        "stay reserved until tomorrow.",
    ),
    Line(
        -3040,
        "customer",
        "here's my order page too. also my bank app shows $186.40 pending three times, that's $559.20! was I charged "
        "for all of them?",
    ),
    Line(
        -3033,
        "bot",
        "You have not been charged: these are authorization holds, and your bank usually releases them within 5 "
        "business days. I can't remove the lock or release the holds myself, a colleague from Payments can. May they "
        "call you?",
    ),
    Line(-2961, "customer", "yes please, (212) 555-0142. I need that tent on Friday, we're leaving for the weekend"),
    Line(
        -2918,
        "agent",
        "Hi Dana, Marcus from Payments here. I've opened case CS-90817 for you. We are busy right now; if you would "
        "rather not wait for us, call the number on your order and give that case number.",
    ),
)

SCREENS = (
    Screen("checkout-error", -3905, 1280, 800, 1),
    Screen("bank-3ds-timeout", -3893, 1280, 800, 1),
    Screen("mobile-error", -3238, 390, 844, 2),
    Screen("order-history", -3060, 1280, 800, 1),
)

CALL = (
    Turn("agent", 0.8, "Thank you for calling Larkfield Outdoor. My name is Marcus. How can I help you?"),
    Turn("customer", 0.7, "Hello, this is Dana. My payment failed three times, and I still cannot place my order."),
    Turn("agent", 0.6, "I am sorry to hear that. Do you have the order number?"),
    Turn(
        "customer",
        0.8,
        "Yes. It is four eight two one nine three. The total is one hundred eighty six dollars and forty cents.",
    ),
    Turn("agent", 0.5, "Thank you. One moment please, while I open the order."),
    Turn("agent", 2.6, "I have the order open now. What happens when you pay?"),
    Turn("customer", 0.6, "The page of my bank takes very long, and then I get an error."),
    Turn("customer", 0.5, "It says three D secure time out."),
    Turn("agent", 0.5, "Did you try another browser, or another card?"),
    Turn(
        "customer",
        0.9,
        "I tried my laptop and my phone with the same card. I told all this to your chat assistant an hour ago, "
        "and I uploaded a screenshot of the error.",
    ),
    Turn("agent", -0.3, "I see the chat and the screenshot. You do not have to repeat anything."),
    Turn("customer", 0.6, "Good. My bank also shows three pending charges. Please release them."),
    Turn("agent", 0.7, "I will ask the bank to release them today. What else can I do for you?"),
    Turn("customer", 1.0, "I want to pay by bank transfer instead, and I need the tent by Friday."),
    Turn("agent", 0.5, "I will send you a payment link. What number can I reach you on?"),
    Turn("customer", 1.2, "My number is two one two. five five five. oh one four two."),
    Turn("agent", 0.6, "Thank you. I will send the link now, and hold the tent until tomorrow."),
    Turn("customer", 0.4, "Great. Thank you for your help."),
)


def message_id(number: int) -> str:
    """`number` counts the chat's messages from 1."""
    return f"chat-4711-{number:02d}"


def utterance_id(number: int) -> str:
    """`number` counts the call's turns from 1."""
    return f"utt-4711-{number:02d}"


def screenshot_id(name: str) -> str:
    """`name` is the page's name, without its ending."""
    return f"shot-4711-{name}"


QUESTIONS = (
    {
        "question": "why did the payment fail?",
        "expected": {
            "chat": [message_id(6), message_id(7), message_id(11)],
            "screenshot": [screenshot_id(s.name) for s in SCREENS],
            "call": [utterance_id(2), utterance_id(7), utterance_id(8)],
        },
        "answer": "The bank's 3-D Secure confirmation timed out each time (PMT-402).",
    },
    {
        "question": "what error did the customer see on screen?",
        "expected": {
            "screenshot": [screenshot_id(n) for n in ("checkout-error", "mobile-error", "order-history")],
            "chat": [message_id(6), message_id(11)],
            "call": [utterance_id(7), utterance_id(8), utterance_id(10)],
        },
        "answer": 'A dialog "Payment failed", error code PMT-402, reason 3-D Secure timeout, amount $186.40.',
    },
    {
        "question": "which devices and cards did the customer already try?",
        "expected": {"call": [utterance_id(10)], "chat": [message_id(8), message_id(10), message_id(11)]},
        "answer": "Her laptop and her phone, each time with the same Visa card.",
    },
)
