package main

import (
	"io"
	"net/http"
)

// grpcRoutes is the port for gRPC. It has the health service alone, whose two messages are short enough to be written by hand.
func (s *service) grpcRoutes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /grpc.health.v1.Health/Check", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the name of a service, or none
		const serving, notServing = 1, 2
		status := byte(serving)
		if s.waitsFor() != "" && !broken("grpc.waits") || broken("grpc.ready") {
			status = notServing
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Write([]byte{0, 0, 0, 0, 2, 0x08, status}) // not compressed, of two bytes: field 1 is the status
	})
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "12") // UNIMPLEMENTED
	})
	return routes
}
