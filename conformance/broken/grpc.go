package main

import (
	"io"
	"net/http"
	"strings"
)

// grpcRoutes is the port for gRPC. It has the health service and one call, whose messages are short enough to be written by hand.
func (s *service) grpcRoutes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /grpc.health.v1.Health/Check", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the name of a service, or none
		const serving, notServing = 1, 2
		status := byte(serving)
		if s.waitsFor() != "" && !broken("grpc.waits") || broken("grpc.ready") {
			status = notServing
		}
		reply(w, 0x08, status) // field 1
	})
	routes.HandleFunc("POST /shop.reference.v1.NotesService/Count", func(w http.ResponseWriter, r *http.Request) {
		shown, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		isKnown := s.isOurs(shown) || found && broken("grpc.login/unknown")
		if !isKnown && !broken("grpc.login") {
			fail(w, "16") // UNAUTHENTICATED
			return
		}
		reply(w) // no notes
	})
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, "12") // UNIMPLEMENTED
	})
	return routes
}

// reply answers with a message of a few bytes, which is not compressed.
func reply(w http.ResponseWriter, message ...byte) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	w.Write(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
}

func fail(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", code)
}
