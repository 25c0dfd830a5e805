// A buyer's way from registration to a paid order, with the clients that oapi-codegen makes of the contracts.
// Where the shop is: USERS_URL, SEARCH_URL, ORDERS_URL; its administrator: ADMIN_EMAIL, ADMIN_PASSWORD.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/runtime/types"

	"shopkeeper.dev/contracts/orders"
	"shopkeeper.dev/contracts/search"
	"shopkeeper.dev/contracts/users"
)

var ctx, stop = context.WithTimeout(context.Background(), 2*time.Minute)

// need ends the program unless the answer had the body that the contract promises.
func need[T any](what string, body *T, err error, status func() string, raw []byte) *T {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
	if body == nil {
		log.Fatalf("%s: %s %s", what, status(), raw)
	}
	return body
}

// until asks again until the answer is there: services hear of each other's changes by events.
func until(what string, ask func() bool) {
	for !ask() {
		select {
		case <-ctx.Done():
			log.Fatalf("%s: not within two minutes", what)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func bearer(token string) func(context.Context, *http.Request) error {
	return func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

func main() {
	defer stop()
	log.SetFlags(0)
	log.SetPrefix("go: ")
	accounts := must(users.NewClientWithResponses(os.Getenv("USERS_URL")))
	catalogue := must(search.NewClientWithResponses(os.Getenv("SEARCH_URL")))
	shop := must(orders.NewClientWithResponses(os.Getenv("ORDERS_URL")))

	logIn := func(email types.Email, password string) *users.Tokens {
		r, err := accounts.LogInWithResponse(ctx, users.Credentials{Email: email, Password: password})
		return need("log in", r.JSON201, err, r.Status, r.Body)
	}
	admin := bearer(logIn(types.Email(os.Getenv("ADMIN_EMAIL")), os.Getenv("ADMIN_PASSWORD")).AccessToken)

	// Something to buy.
	sku := "GO-" + uuid.NewString()
	product := search.ProductBody{Title: "Contract " + sku, Description: "Made for a test.", Brand: "Morrow", Category: "Tests",
		Price: search.Money{Amount: 1990, Currency: "EUR"}}
	written, err := catalogue.WriteProductWithResponse(ctx, sku, nil, product, admin)
	need("write the product", written.JSON201, err, written.Status, written.Body)
	defer func() {
		r, err := catalogue.RemoveProductWithResponse(ctx, sku, nil, admin)
		if err != nil || r.StatusCode() != http.StatusNoContent {
			log.Fatalf("remove the product: %v %s", err, r.Body)
		}
	}()
	stock, err := shop.SetStockWithResponse(ctx, sku, nil, orders.OnHand{OnHand: 5}, admin)
	need("set the stock", stock.JSON200, err, stock.Status, stock.Body)

	email, password := types.Email("go-"+uuid.NewString()+"@buyers.example"), uuid.NewString()
	registered, err := accounts.RegisterWithResponse(ctx, nil, users.Registration{Email: email, Password: password, Name: "Ada"})
	need("register", registered.JSON201, err, registered.Status, registered.Body)
	buyer := bearer(logIn(email, password).AccessToken)

	until("the product is found", func() bool {
		r, err := catalogue.FindProductsWithResponse(ctx, &search.FindProductsParams{Q: &sku})
		page := need("search", r.JSON200, err, r.Status, r.Body)
		return len(page.Items) > 0 && page.Items[0].Sku == sku
	})
	until("orders knows the product", func() bool {
		r, err := shop.PutCartItemWithResponse(ctx, sku, nil, orders.Wanted{Quantity: 2}, buyer)
		if err == nil && r.StatusCode() == http.StatusNotFound {
			return false
		}
		need("put it into the cart", r.JSON200, err, r.Status, r.Body)
		return true
	})
	read, err := shop.ReadCartWithResponse(ctx, buyer)
	cart := need("read the cart", read.JSON200, err, read.Status, read.Body)
	if cart.Total == nil || cart.Total.Amount != 3980 {
		log.Fatalf("the cart's total is not 39.80: %s", read.Body)
	}
	placed, err := shop.PlaceOrderWithResponse(ctx, &orders.PlaceOrderParams{IdempotencyKey: uuid.NewString()},
		orders.Checkout{CartVersion: cart.Version, ExpectedTotal: *cart.Total, PaymentToken: "tok_approved"}, buyer)
	order := need("order", placed.JSON202, err, placed.Status, placed.Body)
	wait := int64(10)
	until("the order is paid", func() bool {
		r, err := shop.ReadOrderWithResponse(ctx, order.Id, &orders.ReadOrderParams{Wait: &wait}, buyer)
		order = need("read the order", r.JSON200, err, r.Status, r.Body)
		if order.State == orders.Cancelled {
			log.Fatalf("the order was cancelled: %s", r.Body)
		}
		return order.State == orders.Paid
	})
	if order.Total != *cart.Total {
		log.Fatalf("the order's total is %v, the cart's was %v", order.Total, *cart.Total)
	}
	fmt.Printf("go: order %s is %s: %d %s\n", order.Number, order.State, order.Total.Amount, order.Total.Currency)
}
