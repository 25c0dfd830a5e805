// Package health knows whether the process is ready: each condition must have been met once. A dependency that is lost later does
// not take the process out of its Service: all replicas would leave at once, and callers would see a refused connection in place
// of a 503 that says when to come back.
package health

import (
	"log/slog"
	"sync"
	"sync/atomic"
)

// Condition is one thing that a process waits for. Once met it stays met.
type Condition struct {
	name string
	once sync.Once
	met  chan struct{}
	// Why it was not met at the last try.
	cause atomic.Pointer[string]
}

// Met says that it is met. Saying it again changes nothing.
func (c *Condition) Met() {
	c.once.Do(func() {
		slog.Info("condition met", "condition", c.name)
		close(c.met)
	})
}

// NotYet says why it is not met, for whoever asks what a process waits for.
func (c *Condition) NotYet(cause string) { c.cause.Store(&cause) }

// Done is closed when it has been met.
func (c *Condition) Done() <-chan struct{} { return c.met }

func (c *Condition) isMet() bool {
	select {
	case <-c.met:
		return true
	default:
		return false
	}
}

// Readiness is all conditions of a process, and whether it is stopping. All are added before anybody asks.
type Readiness struct {
	conditions []*Condition
	stopping   atomic.Bool
}

// Condition adds one.
func (r *Readiness) Condition(name string) *Condition {
	c := &Condition{name: name, met: make(chan struct{})}
	r.conditions = append(r.conditions, c)
	return c
}

// Stop ends being ready.
func (r *Readiness) Stop() { r.stopping.Store(true) }

// Missing is what the process waits for, each with the cause where one is known; none where it is ready.
func (r *Readiness) Missing() []string {
	if r.stopping.Load() {
		return []string{"stopping"}
	}
	var missing []string
	for _, c := range r.conditions {
		if c.isMet() {
			continue
		}
		text := c.name
		if cause := c.cause.Load(); cause != nil {
			text += " (" + *cause + ")"
		}
		missing = append(missing, text)
	}
	return missing
}
