package events

import (
	"net/url"
	"testing"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/testsupport"
)

// connect migrates the database and connects to both back ends until the test ends.
func connect(t *testing.T, databaseURL, brokerURL string, connections int32) (*database.DB, *Broker) {
	t.Helper()
	if _, err := database.Migrate(t.Context(), databaseURL, "test"); err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(databaseURL, "test", connections)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	address, err := url.Parse(brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	broker, err := Connect("test", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	testsupport.Eventually(t, "the broker is connected", broker.conn.IsConnected)
	return db, broker
}
