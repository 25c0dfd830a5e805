package database

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"shopkeeper.dev/email/internal/settings"
)

// The files are those of services/chassis/migrations and services/email/migrations; a test compares them.
//
//go:generate rm -r migrations/chassis migrations/service
//go:generate cp -r ../../../chassis/migrations migrations/chassis
//go:generate cp -r ../../../email/migrations migrations/service
//go:embed migrations
var files embed.FS

const (
	chassisHistory = "chassis_schema_history"
	serviceHistory = "refinery_schema_history"
	// The advisory lock that keeps two migrations of one database apart; every program that migrates it takes this one.
	migrationLock = 0x5348_4f50
	// How long a migration waits for a database that is not there yet.
	migrationPatience = 2 * time.Minute
)

// migration is one file.
type migration struct {
	version int32
	name    string
	sql     string
}

var fileName = regexp.MustCompile(`^V(\d+)__(\w+)\.sql$`)

// migrationsOf reads a folder of migrations, in their order.
func migrationsOf(folder string) ([]migration, error) {
	entries, err := files.ReadDir(path.Join("migrations", folder))
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, entry := range entries {
		parts := fileName.FindStringSubmatch(entry.Name())
		if parts == nil {
			return nil, fmt.Errorf("%s is no name of a migration", entry.Name())
		}
		version, err := strconv.ParseInt(parts[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		sql, err := files.ReadFile(path.Join("migrations", folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, migration{int32(version), parts[2], string(sql)})
	}
	slices.SortFunc(all, func(a, b migration) int { return int(a.version - b.version) })
	return all, nil
}

// newest is the version that this program brings.
func newest(folder string) (int64, error) {
	all, err := migrationsOf(folder)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return int64(all[len(all)-1].version), nil
}

// Migrate waits for the database, takes the lock, applies what is missing. A database that is ahead is fine: it was migrated by a
// newer version, which by rule works with this one; unless one of its migrations says that it has left this one behind. It returns
// which code runs on the schema then.
func Migrate(ctx context.Context, url, service string) (Range, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return Range{}, settings.Wrong("DATABASE_URL", errNoURL)
	}
	if err := harden(config); err != nil {
		return Range{}, settings.Wrong("DATABASE_URL", err)
	}
	config.RuntimeParams["application_name"] = service
	conn, err := connect(ctx, config)
	if err != nil {
		return Range{}, err
	}
	// Closing the connection releases the lock.
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(ctx, fmt.Sprintf(
		"set lock_timeout = '60s'; select pg_advisory_lock(%d)", migrationLock))
	if err != nil {
		return Range{}, fmt.Errorf("cannot take the migration lock: %w", err)
	}
	found, err := rangeOf(ctx, conn)
	if err != nil {
		return Range{}, err
	}
	if err := found.leftBehind(); err != nil {
		return Range{}, err
	}
	applied := 0
	for _, part := range []struct{ folder, history string }{{"chassis", chassisHistory}, {"service", serviceHistory}} {
		count, err := apply(ctx, conn, part.folder, part.history)
		if err != nil {
			return Range{}, fmt.Errorf("a migration failed; the database keeps what was applied before it: %w", err)
		}
		applied += count
	}
	slog.Info("the schema is up to date", "applied", applied)
	return rangeOf(ctx, conn)
}

// connect waits for the database.
func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	started := time.Now()
	told := started
	for {
		conn, err := pgx.ConnectConfig(ctx, config)
		switch {
		case err == nil:
			return conn, nil
		case time.Since(started) > migrationPatience:
			return nil, fmt.Errorf("the database did not answer for %v: %w", migrationPatience, err)
		case time.Since(told) > 5*time.Second:
			told = time.Now()
			slog.Info("waiting for the database", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// apply applies what is missing, each migration with its line in the history in one transaction. The history is the one that
// refinery keeps, so that every program that uses it finds the schema current.
func apply(ctx context.Context, conn *pgx.Conn, folder, history string) (int, error) {
	all, err := migrationsOf(folder)
	if err != nil {
		return 0, err
	}
	_, err = conn.Exec(ctx, "create table if not exists "+history+
		" (version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255))")
	if err != nil {
		return 0, err
	}
	known, highest, err := appliedBefore(ctx, conn, history)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, m := range all {
		if checksum, ok := known[m.version]; ok && checksum != m.checksum() {
			return count, fmt.Errorf("the migration V%d__%s was applied with another content", m.version, m.name)
		}
		// What is older than what was applied is never made up for.
		if m.version <= highest {
			continue
		}
		slog.Info("applying a migration", "version", m.version, "name", m.name)
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, m.sql); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "insert into "+history+" (version, name, applied_on, checksum) values ($1, $2, $3, $4)",
				m.version, m.name, time.Now().UTC().Format(time.RFC3339Nano), strconv.FormatUint(m.checksum(), 10))
			return err
		})
		if err != nil {
			return count, fmt.Errorf("the migration V%d__%s: %w", m.version, m.name, err)
		}
		count++
	}
	return count, nil
}

// appliedBefore is the checksums of what was applied, by version, and the highest version.
func appliedBefore(ctx context.Context, conn *pgx.Conn, history string) (map[int32]uint64, int32, error) {
	rows, err := conn.Query(ctx, "select version, checksum from "+history)
	if err != nil {
		return nil, 0, err
	}
	known, highest := map[int32]uint64{}, int32(0)
	var version int32
	var checksum string
	_, err = pgx.ForEachRow(rows, []any{&version, &checksum}, func() error {
		highest = max(highest, version)
		sum, err := strconv.ParseUint(strings.TrimSpace(checksum), 10, 64)
		known[version] = sum
		return err
	})
	return known, highest, err
}
