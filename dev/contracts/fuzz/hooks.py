"""What Schemathesis cannot read in the contracts: who asks, how lines of JSON are sent, what a cart holds."""

import json
import os
import uuid

import requests
import schemathesis

SEARCH = os.environ["SEARCH_URL"]
ORDERS = os.environ["ORDERS_URL"]
ADMIN = {"Authorization": "Bearer " + os.environ["ADMIN_TOKEN"]}
BUYER = {"Authorization": "Bearer " + os.environ["BUYER_TOKEN"]}


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.auth(cache_by_key=lambda case, context: "403" in case.operation.definition.raw["responses"])
class Token:
    """Where the contract names 403, the administrator asks; elsewhere a buyer does."""

    def get(self, case, context):
        return ADMIN if "403" in case.operation.definition.raw["responses"] else BUYER

    def set(self, case, data, context):
        case.headers.update(data)


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def keep(case, url, members):
    """A product or a stock as it was before the run, for the script to import at the end."""
    was = requests.get(url + case.formatted_path, timeout=30)
    if was.status_code == 200 and was.json()["sku"] not in kept[members] | made:
        kept[members].add(was.json()["sku"])
        with open(members[-1] + ".ndjson", "a", encoding="utf-8") as lines:
            lines.write(json.dumps({name: was.json()[name] for name in members}) + "\n")


PRODUCT = ("sku", "title", "description", "brand", "category", "attributes", "price")
STOCK = ("sku", "on_hand")
kept = {PRODUCT: set(), STOCK: set()}
made = set()


@schemathesis.hook
def before_call(context, case, **kwargs):
    match case.operation.label:
        case "PUT /products/{sku}" | "DELETE /products/{sku}":
            keep(case, SEARCH, PRODUCT)
        case "PUT /stock/{sku}":
            keep(case, ORDERS, STOCK)
        case "POST /orders" if is_positive(case) and isinstance(case.body, dict):
            name_cart(case)


def name_cart(case):
    """An order is taken only if it names what is in the cart, under a key of its own."""
    cart = requests.put(f"{ORDERS}/cart/items/{os.environ['SKU']}", json={"quantity": 1}, headers=BUYER, timeout=30).json()
    if cart.get("total"):
        case.body["cart_version"], case.body["expected_total"] = cart["version"], cart["total"]
    case.headers["Idempotency-Key"] = case.headers["Idempotency-Key"][:200] + str(uuid.uuid4())


@schemathesis.hook
def after_call(context, case, response):
    """What the run has made, for the script to remove."""
    if case.operation.label == "PUT /products/{sku}" and response.status_code == 201:
        made.add(response.json()["sku"])
        with open("made", "a", encoding="utf-8") as lines:
            lines.write(response.json()["sku"] + "\n")
