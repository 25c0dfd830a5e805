package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// From the first byte of a head to its last, and how large it may be. The server itself adds 4 KiB to what it is told.
	headTime  = 10 * time.Second
	headBytes = 16<<10 - 4<<10
	// Between requests. Longer than clients commonly keep an idle connection, because a server that closes first may meet a
	// request that is under way.
	idleTime = 2 * time.Minute
	// Longer than any request takes; it ends a connection whose client never reads its answers.
	answerTime = longest + 30*time.Second
	// A connection is ended after this age, plus or minus a fifth, so that new replicas behind a plain Service get their share of
	// connections that would otherwise stay where they are for ever.
	age = time.Minute
)

// Server is a port and what is served there.
type Server struct {
	http     http.Server
	listener net.Listener
}

// Listen listens at once; the setting is named where that is not possible. Proxies are not held to a client's number of
// connections.
func Listen(address netip.AddrPort, setting string, proxies []netip.Prefix, metrics *Metrics) (*Server, error) {
	inner, err := net.Listen("tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %v, as %s says: %w", address, setting, err)
	}
	return &Server{listener: newListener(inner, proxies, metrics.refused)}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until Stop, in the background.
func (s *Server) Serve(handler http.Handler) {
	s.http = http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headTime,
		ReadTimeout:       answerTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headBytes,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			spread := time.Duration((0.8 + 0.4*rand.Float64()) * float64(age))
			return context.WithValue(ctx, endKey{}, time.Now().Add(spread))
		},
	}
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("a port is served no longer", "error", err)
		}
	}()
}

// Stop takes no new request and waits for those at work.
func (s *Server) Stop(ctx context.Context) error { return s.http.Shutdown(ctx) }

// endKey is under what a connection's context has the time from which each answer ends it.
type endKey struct{}

// announceClose tells the client with the answer that its connection ends: when it is old, when the service is about to stop, and
// when the request has a body, because nobody here reads one. A client that was told opens another one; a client whose idle
// connection is just closed may lose the request it was sending.
func announceClose(leaving <-chan struct{}, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, _ := r.Context().Value(endKey{}).(time.Time)
		if time.Now().After(end) || r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(closing{w, leaving}, r)
	})
}

// closing looks for the stop when the answer begins: it may have come while the request was at work.
type closing struct {
	http.ResponseWriter
	leaving <-chan struct{}
}

func (c closing) WriteHeader(status int) {
	if isDone(c.leaving) {
		c.Header().Set("Connection", "close")
	}
	c.ResponseWriter.WriteHeader(status)
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
