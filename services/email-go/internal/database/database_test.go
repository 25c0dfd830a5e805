package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"shopkeeper.dev/email/internal/testsupport"
)

func TestTheMigrationsAreThoseOfTheOtherProgram(t *testing.T) {
	for folder, origin := range map[string]string{"chassis": "chassis", "service": "email"} {
		all, err := migrationsOf(folder)
		if err != nil {
			t.Fatal(err)
		}
		originals, err := filepath.Glob("../../../" + origin + "/migrations/*.sql")
		if err != nil || len(originals) != len(all) || len(all) == 0 {
			t.Fatal(len(originals), len(all), err)
		}
		for _, original := range originals {
			one, err1 := os.ReadFile(original)
			other, err2 := files.ReadFile("migrations/" + folder + "/" + filepath.Base(original))
			if err1 != nil || err2 != nil || string(one) != string(other) {
				t.Errorf("%s differs: go generate ./...", original)
			}
		}
	}
}

// As services/email has noted them in a database.
func TestTheChecksumsAreThoseOfTheOtherProgram(t *testing.T) {
	known := map[string]uint64{
		"chassis": 6794620068609037350, "unapplied_events": 18189112664117415025, "outbox_stream_sequence": 17525872861867341992,
		"mails": 9767829364878905141, "retry_and_refunds": 2897029912347946501,
	}
	for _, folder := range []string{"chassis", "service"} {
		all, err := migrationsOf(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if expected, ok := known[m.name]; ok && m.checksum() != expected {
				t.Errorf("%s: %d, expected %d", m.name, m.checksum(), expected)
			}
		}
	}
}

func TestMigratingTwiceAtOnceAndAgainIsMigratingOnce(t *testing.T) {
	backends := testsupport.NewBackends(t)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if _, err := Migrate(t.Context(), backends.DatabaseURL, "test"); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if _, err := Migrate(t.Context(), backends.DatabaseURL, "test"); err != nil {
		t.Error(err)
	}
	for _, history := range []string{chassisHistory, serviceHistory} {
		if count := testsupport.Query[int](backends, "select count(*) from "+history); count < 2 {
			t.Error(history, count)
		}
	}
}

func TestASchemaThatIsAheadIsFineAndOneOfAnotherContentIsNot(t *testing.T) {
	backends := testsupport.NewBackends(t)
	for range 2 {
		if _, err := Migrate(t.Context(), backends.DatabaseURL, "test"); err != nil {
			t.Fatal(err)
		}
		backends.Execute("insert into " + serviceHistory +
			" values (99, 'later', '2026-01-01T00:00:00Z', '1') on conflict do nothing")
	}
	backends.Execute("update " + serviceHistory + " set checksum = '7' where version = 1")
	if _, err := Migrate(t.Context(), backends.DatabaseURL, "test"); err == nil || !strings.Contains(err.Error(), "another content") {
		t.Error(err)
	}
}

func open(t *testing.T, url string, most int32) *DB {
	t.Helper()
	db, err := Open(url, "test", most)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestNoStatementOutlivesItsCaller(t *testing.T) {
	backends := testsupport.NewBackends(t)
	db := open(t, backends.DatabaseURL, 2)
	err := db.Do(within(t, 300*time.Millisecond), func(ctx context.Context, q Querier) error {
		_, err := q.Exec(ctx, "select pg_sleep(60)")
		return err
	})
	if !IsUnavailable(err) {
		t.Error(err)
	}
	running := "select count(*) from pg_stat_activity where datname = current_database() and query like 'select pg_sleep%'"
	testsupport.Eventually(t, "the statement has ended", func() bool { return testsupport.Query[int](backends, running) == 0 })
	// Nobody gets a connection on which something is still to be cancelled.
	for range 20 {
		if err := db.Do(t.Context(), selectOne); err != nil {
			t.Error(err)
		}
	}
}

func selectOne(ctx context.Context, q Querier) error {
	_, err := q.Exec(ctx, "select 1")
	return err
}

func TestABusyDatabaseIsWaitedForAndNeverHasMoreConnectionsThanAllowed(t *testing.T) {
	backends := testsupport.NewBackends(t)
	db := open(t, backends.DatabaseURL, 2)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := db.Do(within(t, 20*time.Second), func(ctx context.Context, q Querier) error {
				_, err := q.Exec(ctx, "select pg_sleep(0.05)")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, connections := db.Usage(); connections > 2 {
		t.Error(connections)
	}
	release := make(chan struct{})
	for range 2 {
		go func() {
			_ = db.Do(t.Context(), func(context.Context, Querier) error { <-release; return nil })
		}()
	}
	testsupport.Eventually(t, "all are taken", func() bool { used, _ := db.Usage(); return used == 2 })
	if err := db.Do(within(t, 300*time.Millisecond), selectOne); !IsUnavailable(err) || !strings.Contains(err.Error(), "busy") {
		t.Error(err)
	}
	close(release)
}

func TestNobodyWaitsForADatabaseThatIsAbsent(t *testing.T) {
	db := open(t, "postgres://nobody@127.0.0.1:1/none", 2)
	started := time.Now()
	if err := db.Do(within(t, 20*time.Second), selectOne); !IsUnavailable(err) || time.Since(started) > time.Second {
		t.Error(err, time.Since(started))
	}
}

// silentPort neither takes nor refuses connections, as of a machine that is gone: its queue is full.
func silentPort(t *testing.T) string {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(socket) })
	err = errors.Join(unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(socket, 1))
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for {
		conn, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func TestNobodyWaitsInLineForADatabaseThatIsSilent(t *testing.T) {
	db := open(t, "postgres://nobody@"+silentPort(t)+"/none", 2)
	started := time.Now()
	var all sync.WaitGroup
	for range 20 {
		// In pairs, two seconds each, they would wait for longer than they can.
		all.Go(func() {
			if err := db.Do(within(t, 30*time.Second), selectOne); !IsUnavailable(err) || strings.Contains(err.Error(), "busy") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if time.Since(started) > 4*unreachable {
		t.Error(time.Since(started))
	}
}

// A server that takes the connection is there, however long it says nothing.
func TestADatabaseThatIsSlowToAnswerIsWaitedFor(t *testing.T) {
	backends := testsupport.NewBackends(t)
	config, err := pgx.ParseConfig(backends.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := testsupport.NewProxy(t, fmt.Sprintf("%s:%d", config.Host, config.Port))
	proxy.Silence(3 * time.Second)
	db := open(t, strings.Replace(backends.DatabaseURL, fmt.Sprintf("%s:%d", config.Host, config.Port), proxy.Address, 1), 2)
	if err := db.Do(within(t, 20*time.Second), selectOne); err != nil {
		t.Error(err)
	}
}

func TestAPasswordLeavesByScramAlone(t *testing.T) {
	backends := testsupport.NewBackends(t)
	for _, role := range []string{"clear_email_go", "md5_email_go"} {
		backends.Execute("drop role if exists " + role)
		backends.Execute("set password_encryption = md5; create role " + role + " login password 's3cret'")
		config, err := pgx.ParseConfig(backends.DatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		url := strings.Replace(backends.DatabaseURL, config.User+":"+config.Password+"@", role+":s3cret@", 1)
		err = open(t, url, 2).Do(t.Context(), selectOne)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", role, err)
		}
		backends.Execute("drop role " + role)
	}
}

func TestTLSIsRefusedByName(t *testing.T) {
	if _, err := Open("postgres://u:s3cret@db/d?sslmode=require", "test", 2); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

func TestTheStateOfTheServerIsAnOutageAndAConstraintIsNot(t *testing.T) {
	for _, code := range []string{"08006", "53100", "53300", "57P01", "57P03", "57014", "58030", "55P03", "25006", "25P03"} {
		if !IsUnavailable(classify(&pgconn.PgError{Code: code})) {
			t.Error(code)
		}
	}
	for _, code := range []string{"23505", "42601", "22003", "40001", "40P01"} {
		if IsUnavailable(classify(&pgconn.PgError{Code: code})) {
			t.Error(code)
		}
	}
	if own := errors.New("own"); classify(own) != own || classify(nil) != nil {
		t.Error("an error that says nothing of the database stays")
	}
}

func TestTheWatchEndsTheProcessOnlyForASchemaThatIsBehindForGood(t *testing.T) {
	needed := versions{1, 2}
	at := func(chassis, service int64) seen { return seen{behind: compare(versions{chassis, service}, needed)} }
	away, refused := seen{away: errors.New("nobody")}, seen{unreadable: errors.New("permission denied")}
	type look struct {
		second int
		seen   seen
	}
	for name, test := range map[string]struct {
		looks []look
		ends  bool
	}{
		"replaced":            {[]look{{0, at(1, 2)}, {12, at(0, 0)}, {15, at(0, 0)}}, true},
		"mended":              {[]look{{0, at(1, 2)}, {12, at(0, 0)}, {15, at(1, 2)}, {27, at(1, 1)}}, false},
		"ahead":               {[]look{{0, at(4, 7)}, {12, at(4, 7)}, {90, at(4, 7)}}, false},
		"never current":       {[]look{{0, at(0, 0)}, {1, at(0, 0)}, {59, at(1, 0)}, {60, at(1, 1)}}, true},
		"being migrated":      {[]look{{0, at(0, 0)}, {1, at(0, 0)}, {59, at(1, 0)}}, false},
		"not readable":        {[]look{{0, at(1, 2)}, {12, refused}, {9000, refused}}, false},
		"away":                {[]look{{0, at(1, 2)}, {12, away}, {9000, away}}, false},
		"away in between":     {[]look{{0, at(1, 2)}, {12, at(0, 0)}, {13, away}, {16, at(0, 0)}}, false},
		"away at start":       {[]look{{0, at(0, 0)}, {30, away}, {61, at(0, 0)}}, false},
		"chassis' own behind": {[]look{{0, at(1, 2)}, {12, at(0, 2)}, {15, at(0, 2)}}, true},
	} {
		var w watch
		var ended *Behind
		for _, look := range test.looks {
			_, ended = w.verdict(look.seen, time.Unix(int64(look.second), 0))
		}
		if (ended != nil) != test.ends {
			t.Errorf("%s: %v", name, ended)
		}
	}
	if sentence := compare(versions{0, 2}, needed).Error(); sentence !=
		"the schema of the database is behind: version 0 found, 1 needed (of the tables that all services have)" {
		t.Error(sentence)
	}
}

// What a later program has noted in the history counts for this one.
func TestAMigrationThatLeavesThisProgramBehindIsRefused(t *testing.T) {
	backends := testsupport.NewBackends(t)
	found, err := Migrate(t.Context(), backends.DatabaseURL, "test")
	if err != nil || found != (Range{Version: 2, Oldest: 1}) {
		t.Fatal(found, err)
	}
	backends.Execute("insert into " + serviceHistory + " values (8, 'drop_more__oldest_2', '', '1'), (9, 'later', '', '1')")
	found, err = Migrate(t.Context(), backends.DatabaseURL, "test")
	if err != nil || found != (Range{Version: 2, Oldest: 2, Since: "V8__drop_more__oldest_2"}) {
		t.Fatal(found, err)
	}
	backends.Execute("update " + serviceHistory + " set name = 'drop__oldest_3' where version = 9")
	_, err = Migrate(t.Context(), backends.DatabaseURL, "test")
	if err == nil || !strings.Contains(err.Error(), "it needs version 2, and since the migration V9__drop__oldest_3 only code runs that needs 3") {
		t.Fatal(err)
	}
}
