package events

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/testsupport"
)

// A replica that waits for its turn holds no connection, so this pool of one serves others meanwhile.
func TestALookWaitsForAnotherReplicaAndHoldsNoConnection(t *testing.T) {
	backends := testsupport.NewBackends(t)
	db, broker := connect(t, backends.DatabaseURL, backends.BrokerURL, 1)
	other, err := pgx.Connect(t.Context(), backends.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) })
	lock := func(sql string) {
		t.Helper()
		if _, err := other.Exec(t.Context(), sql, int64(recoveryLock)); err != nil {
			t.Fatal(err)
		}
	}
	lock("select pg_advisory_lock($1)")
	looked := make(chan error, 1)
	go func() { _, err := recoverLost(t.Context(), db, broker, "test"); looked <- err }()
	for range 20 {
		err := db.Do(t.Context(), func(ctx context.Context, q database.Querier) error {
			_, err := q.Exec(ctx, "select pg_sleep(0.05)")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-looked:
		t.Fatal("it did not wait", err)
	default:
	}
	lock("select pg_advisory_unlock($1)")
	if err := <-looked; err != nil {
		t.Error(err)
	}
	lock("select pg_advisory_lock($1)")
	started := time.Now()
	if _, err := recoverLost(t.Context(), db, broker, "test"); !errors.Is(err, errOthersTurn) || time.Since(started) < turn {
		t.Error(err, time.Since(started))
	}
}
