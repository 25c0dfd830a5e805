package database

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"shopkeeper.dev/email/internal/health"
)

const (
	// Between two looks while the schema has not been current yet, so that a start does not wait for long.
	lookAtStart = 200 * time.Millisecond
	// Between two looks once it was. A statement that names what is missing makes the next one come at once.
	lookLater = 12 * time.Second
	// Between the first look that finds a schema behind which was current, and the look that must confirm it.
	confirm = 3 * time.Second
	// How long a schema that was never current is waited for: its migration may just be running.
	schemaPatience = time.Minute
)

// versions are those of both parts of a schema: the tables that all services have, and those of this one.
type versions struct{ chassis, service int64 }

// Behind says that the schema of the database is older than the one this program needs, or not there at all (version 0).
type Behind struct {
	found, needed int64
	of            string
}

func (b *Behind) Error() string {
	return fmt.Sprintf("the schema of the database is behind: version %d found, %d needed%s", b.found, b.needed, b.of)
}

func compare(found, needed versions) *Behind {
	if found.service < needed.service {
		return &Behind{found.service, needed.service, ""}
	}
	if found.chassis < needed.chassis {
		return &Behind{found.chassis, needed.chassis, " (of the tables that all services have)"}
	}
	return nil
}

// seen is what a look has found; at most one of them.
type seen struct {
	behind *Behind
	// The database answered and refused: an older dump may have been put back by another role.
	unreadable error
	// The database did not answer, which says nothing of its schema.
	away error
}

// trouble is the sentence about what is wrong with the schema itself.
func (s seen) trouble() string {
	switch {
	case s.behind != nil:
		return s.behind.Error()
	case s.unreadable != nil:
		return "the schema of the database cannot be read: " + s.unreadable.Error()
	}
	return ""
}

// Schema watches the schema of the service's database.
type Schema struct {
	db     *DB
	needed versions
	// What was wrong with it at the last look that was answered.
	last    atomic.Pointer[seen]
	doubted chan struct{}
}

// NewSchema does not look yet.
func NewSchema(db *DB) (*Schema, error) {
	chassis, err := newest("chassis")
	if err != nil {
		return nil, err
	}
	service, err := newest("service")
	if err != nil {
		return nil, err
	}
	return &Schema{db: db, needed: versions{chassis, service}, doubted: make(chan struct{}, 1)}, nil
}

// Trouble is what was wrong with it when it was last looked at; empty if nothing.
func (s *Schema) Trouble() string {
	if last := s.last.Load(); last != nil {
		return last.trouble()
	}
	return ""
}

// IsToBlame is for whoever met a statement that names what is missing: whether that is because the schema is behind. It looks now,
// and lets the watch look soon.
func (s *Schema) IsToBlame(ctx context.Context) *Behind {
	found := s.look(ctx)
	if found.trouble() != "" {
		select {
		case s.doubted <- struct{}{}:
		default:
		}
	}
	return found.behind
}

func (s *Schema) look(ctx context.Context) seen {
	found, err := s.versions(ctx)
	if IsUnavailable(err) {
		return seen{away: err}
	}
	result := seen{unreadable: err}
	if err == nil {
		result.behind = compare(found, s.needed)
	}
	s.last.Store(&result)
	return result
}

func (s *Schema) versions(ctx context.Context) (found versions, err error) {
	err = s.db.Do(ctx, func(ctx context.Context, q Querier) error {
		for _, part := range []struct {
			history string
			version *int64
		}{{chassisHistory, &found.chassis}, {serviceHistory, &found.service}} {
			var isThere bool
			if err := q.QueryRow(ctx, "select to_regclass($1) is not null", part.history).Scan(&isThere); err != nil {
				return err
			}
			if !isThere {
				continue
			}
			sql := "select coalesce(max(version), 0)::bigint from " + part.history
			if err := q.QueryRow(ctx, sql).Scan(part.version); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// Watch looks until stop, says when the schema is current for the first time, and returns what is wrong when the process should
// end because of it.
func (s *Schema) Watch(stop context.Context, current *health.Condition) *Behind {
	var w watch
	told := "?"
	for {
		found := s.look(context.WithoutCancel(stop))
		told = report(found, current, told)
		pause, behind := w.verdict(found, time.Now())
		if behind != nil {
			return behind
		}
		doubted := s.doubted
		if pause != lookLater {
			doubted = nil
		}
		select {
		case <-stop.Done():
			return nil
		case <-time.After(pause):
		case <-doubted:
		}
	}
}

// report tells of what was found, where it is not what was told before.
func report(found seen, current *health.Condition, told string) string {
	switch {
	case found.away != nil:
		current.NotYet(found.away.Error())
		if told != found.away.Error() {
			slog.Info("waiting for the database", "error", found.away)
		}
		return found.away.Error()
	case found.trouble() != "":
		current.NotYet(found.trouble())
		if told != found.trouble() {
			slog.Warn(found.trouble())
		}
	default:
		current.Met()
	}
	return found.trouble()
}

// watch is what a process has seen of its schema so far, as far as it matters.
type watch struct {
	wasCurrent bool
	// Since when every look found it behind.
	behindSince time.Time
}

// verdict says how long to wait before the next look, or why the process should end. A schema that was current and is behind twice
// in a row, a few seconds apart, has been replaced. One that was never current may be migrated just now and gets a minute. An
// outage says nothing: the count begins anew.
func (w *watch) verdict(found seen, now time.Time) (time.Duration, *Behind) {
	pause, limit := lookAtStart, schemaPatience
	if w.wasCurrent {
		pause, limit = confirm, confirm
	}
	switch {
	case found.away != nil || found.unreadable != nil:
		w.behindSince = time.Time{}
		return pause, nil
	case found.behind == nil:
		w.wasCurrent, w.behindSince = true, time.Time{}
		return lookLater, nil
	}
	if w.behindSince.IsZero() {
		w.behindSince = now
	}
	if now.Sub(w.behindSince) >= limit {
		return 0, found.behind
	}
	return pause, nil
}
