// A buyer's way from registration to a paid order, with the types that openapi-typescript makes of the contracts.
// Where the shop is: USERS_URL, SEARCH_URL, ORDERS_URL; its administrator: ADMIN_EMAIL, ADMIN_PASSWORD.
import createClient from "openapi-fetch";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { paths as Email } from "./generated/email.js";
import type { paths as Orders } from "./generated/orders.js";
import type { paths as Payments } from "./generated/payments.js";
import type { paths as Search } from "./generated/search.js";
import type { paths as Users } from "./generated/users.js";

/** What this flow does not call is compiled too. */
export type NotCalled = Email & Payments;

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** The body that the contract promises, or an error that tells what came instead. */
function need<T>(what: string, answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${what}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

/** Asks again until the answer is there: services hear of each other's changes by events. */
async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 120_000;
  while (Date.now() < end) {
    const found = await ask();
    if (found !== undefined) return found;
    await sleep(200);
  }
  throw new Error(`${what}: not within two minutes`);
}

const users = createClient<Users>({ baseUrl: setting("USERS_URL") });
const search = createClient<Search>({ baseUrl: setting("SEARCH_URL") });
const orders = createClient<Orders>({ baseUrl: setting("ORDERS_URL") });

async function logIn(email: string, password: string) {
  const tokens = need("log in", await users.POST("/sessions", { body: { email, password } }));
  return { Authorization: `Bearer ${tokens.access_token}` };
}

async function buy(sku: string): Promise<void> {
  const email = `ts-${randomUUID()}@buyers.example`;
  const password = randomUUID();
  need("register", await users.POST("/users", { body: { email, password, name: "Ada" } }));
  const headers = await logIn(email, password);

  await until("the product is found", async () => {
    const page = need("search", await search.GET("/products", { params: { query: { q: sku } } }));
    return page.items.find((item) => item.sku === sku);
  });
  await until("orders knows the product", async () => {
    const answer = await orders.PUT("/cart/items/{sku}", { headers, params: { path: { sku } }, body: { quantity: 2 } });
    return answer.response.status === 404 ? undefined : need("put it into the cart", answer);
  });
  const cart = need("read the cart", await orders.GET("/cart", { headers }));
  if (cart.total?.amount !== 3980) throw new Error(`the cart's total is not 39.80: ${JSON.stringify(cart)}`);
  const placed = need("order", await orders.POST("/orders", {
    headers,
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: { cart_version: cart.version, expected_total: cart.total, payment_token: "tok_approved" },
  }));
  const order = await until("the order is paid", async () => {
    const params = { path: { id: placed.id }, query: { wait: 10 } };
    const order = need("read the order", await orders.GET("/orders/{id}", { headers, params }));
    if (order.state === "cancelled") throw new Error(`the order was cancelled: ${JSON.stringify(order)}`);
    return order.state === "paid" ? order : undefined;
  });
  if (order.total.amount !== cart.total.amount) throw new Error(`not what the cart said: ${JSON.stringify(order)}`);
  console.log(`typescript: order ${order.number} is ${order.state}: ${order.total.amount} ${order.total.currency}`);
}

const headers = await logIn(setting("ADMIN_EMAIL"), setting("ADMIN_PASSWORD"));
const sku = `TS-${randomUUID()}`;
const params = { path: { sku } };
const product = {
  title: `Contract ${sku}`, description: "Made for a test.", brand: "Morrow", category: "Tests",
  price: { amount: 1990, currency: "EUR" },
};
need("write the product", await search.PUT("/products/{sku}", { headers, params, body: product }));
try {
  need("set the stock", await orders.PUT("/stock/{sku}", { headers, params, body: { on_hand: 5 } }));
  await buy(sku);
} finally {
  const removed = await search.DELETE("/products/{sku}", { headers, params });
  if (removed.response.status !== 204) console.error(`the product was not removed: ${JSON.stringify(removed.error)}`);
}
