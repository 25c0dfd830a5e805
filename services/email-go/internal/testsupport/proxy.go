package testsupport

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a service and a server, and can be cut.
type Proxy struct {
	Address string

	mu      sync.Mutex
	isCut   bool
	silence time.Duration
	conns   map[net.Conn]bool
}

// NewProxy passes on until the test ends.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &Proxy{Address: listener.Addr().String(), conns: map[net.Conn]bool{}}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.pass(client, to)
		}
	}()
	return p
}

// Cut ends all connections and takes no new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = true
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// Mend takes connections again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = false
}

// Silence takes connections from now on, and passes on what is said on them only after so long.
func (p *Proxy) Silence(length time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silence = length
}

func (p *Proxy) wait() {
	p.mu.Lock()
	silence := p.silence
	p.mu.Unlock()
	time.Sleep(silence)
}

// keep says whether the connection may go on.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isCut {
		_ = conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) pass(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	if !p.keep(client) {
		return
	}
	p.wait()
	server, err := net.Dial("tcp", to)
	if err != nil || !p.keep(server) {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}
