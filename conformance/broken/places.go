package main

import (
	"net"
	"sync"
)

// mostConnections of one port at once; the next one is closed.
const mostConnections = 1024

// bounded is a port with places for so many connections.
type bounded struct {
	net.Listener
	places chan struct{}
}

func bound(inner net.Listener) net.Listener {
	if broken("http.limits") {
		return inner
	}
	return bounded{inner, make(chan struct{}, mostConnections)}
}

// Accept implements net.Listener.
func (b bounded) Accept() (net.Conn, error) {
	for {
		accepted, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.places <- struct{}{}:
			return &placed{Conn: accepted, leave: sync.OnceFunc(func() { <-b.places })}, nil
		default:
			accepted.Close()
		}
	}
}

// placed has a place until it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	p.leave()
	return p.Conn.Close()
}
