package web

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"shopkeeper.dev/email/internal/telemetry"
)

const (
	// Connections of one port at once. The next one waits in the kernel's queue until another ends.
	connections = 1024
	// Connections of one client at once; the next one is closed. Trusted proxies have as many as they want: they speak for many
	// clients.
	perClient = connections / 4
)

// listener gives out so many connections in all, and so many to each client, that none can take those of the others.
type listener struct {
	net.Listener
	places  chan struct{}
	proxies []netip.Prefix
	refused prometheus.Counter

	mu      sync.Mutex
	clients map[netip.Addr]int
}

func newListener(inner net.Listener, proxies []netip.Prefix, refused prometheus.Counter) *listener {
	return &listener{
		Listener: inner, places: make(chan struct{}, connections), proxies: proxies, refused: refused,
		clients: map[netip.Addr]int{},
	}
}

var refusedLines telemetry.LogLimit

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		client := network(peer.Addr())
		if err == nil && l.take(client) {
			return &placed{Conn: conn, leave: func() { l.leave(client) }}, nil
		}
		_ = conn.Close()
		l.refused.Inc()
		if leftOut, due := refusedLines.Due(time.Now()); due {
			slog.Warn("a connection was closed: its client has as many as one may have",
				"peer", peer.Addr(), "left_out", leftOut)
		}
	}
}

func (l *listener) take(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !contains(l.proxies, client) && l.clients[client] >= perClient {
		return false
	}
	l.clients[client]++
	return true
}

func (l *listener) leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
	<-l.places
}

// placed has a place until it is closed.
type placed struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (p *placed) Close() error {
	p.once.Do(p.leave)
	return p.Conn.Close()
}
