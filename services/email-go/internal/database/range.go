package database

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Range is which code runs on a schema: its own, which needs Version, and that which needs Oldest or later.
type Range struct {
	Version int64  `json:"version"`
	Oldest  int64  `json:"oldest"`
	Since   string `json:"since,omitempty"`
}

// mark ends the name of a migration that takes something away: V9__drop_total__oldest_8.sql leaves behind what needs version 7.
var mark = regexp.MustCompile(`__oldest_(\d{1,18})$`)

// rangeOf asks the history for migrations with a mark, also for those that came after this program.
func rangeOf(ctx context.Context, conn *pgx.Conn) (Range, error) {
	needed, err := newest("service")
	found := Range{Version: needed, Oldest: 1}
	if err != nil {
		return found, err
	}
	isThere := false
	row := conn.QueryRow(ctx, "select to_regclass($1) is not null", serviceHistory)
	if err := row.Scan(&isThere); err != nil || !isThere {
		return found, err
	}
	rows, err := conn.Query(ctx, "select version, name from "+serviceHistory+" order by version")
	if err != nil {
		return found, err
	}
	var version int32
	var name string
	_, err = pgx.ForEachRow(rows, []any{&version, &name}, func() error {
		if parts := mark.FindStringSubmatch(name); parts != nil {
			oldest, err := strconv.ParseInt(parts[1], 10, 64)
			if err != nil {
				return err
			}
			if oldest >= found.Oldest {
				found.Oldest, found.Since = oldest, fmt.Sprintf("V%d__%s", version, name)
			}
		}
		return nil
	})
	return found, err
}

// leftBehind is that this program does not run on the schema any more.
func (r Range) leftBehind() error {
	if r.Version >= r.Oldest {
		return nil
	}
	return fmt.Errorf("the schema of the database has left this version behind: it needs version %d, and since the migration %s "+
		"only code runs that needs %d or later", r.Version, r.Since, r.Oldest)
}
