package service

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// work is something beside the requests: it runs until stop, and ends with what it has at work.
type work func(stop context.Context) error

// workers run beside the requests, from the moment that a condition is met until stop.
type workers struct {
	running sync.WaitGroup
	stop    context.Context
	cancel  context.CancelFunc
}

func newWorkers() *workers {
	w := &workers{}
	w.stop, w.cancel = context.WithCancel(context.Background())
	return w
}

// start begins when the condition is met.
func (w *workers) start(condition <-chan struct{}, name string, run work) {
	w.running.Go(func() {
		select {
		case <-w.stop.Done():
		case <-condition:
			supervise(w.stop, name, run)
		}
	})
}

// end tells them to stop, and says whether they did within the limit.
func (w *workers) end(limit time.Duration) bool {
	w.cancel()
	ended := make(chan struct{})
	go func() {
		w.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-time.After(limit):
		return false
	}
}

// Pauses between a failure and the next start.
const (
	pauseMin = 200 * time.Millisecond
	pauseMax = 10 * time.Second
)

// supervise runs until the work ends well or stop. The pause doubles from failure to failure and starts small again once the work
// has held for a while.
func supervise(stop context.Context, name string, run work) {
	pause := pauseMin
	for stop.Err() == nil {
		started := time.Now()
		if runOnce(stop, name, run, pause) {
			return
		}
		if time.Since(started) > pauseMax {
			pause = pauseMin
		}
		select {
		case <-stop.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
}

// runOnce says whether the work ended well.
func runOnce(stop context.Context, name string, run work, pause time.Duration) (well bool) {
	defer func() {
		if words := recover(); words != nil {
			slog.Error("worker panicked and will start again", "worker", name, "error", words, "stack", string(debug.Stack()))
		}
	}()
	if err := run(stop); err != nil {
		slog.Warn("worker failed and will start again", "worker", name, "error", err, "pause_ms", pause.Milliseconds())
		return false
	}
	return true
}
