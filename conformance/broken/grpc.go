package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Codes of gRPC.
const (
	codeOK               = "0"
	codeInvalidArgument  = "3"
	codeDeadlineExceeded = "4"
	codeUnimplemented    = "12"
	codeUnavailable      = "14"
	codeUnauthenticated  = "16"
)

// units are those of grpc-timeout.
var units = map[string]time.Duration{
	"H": time.Hour, "M": time.Minute, "S": time.Second, "m": time.Millisecond, "u": time.Microsecond, "n": time.Nanosecond,
}

// grpcRoutes is the port for gRPC. It has the health service and one call, whose messages are short enough to be written by hand.
func (s *service) grpcRoutes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /grpc.health.v1.Health/Check", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the name of a service, or none
		begin(w)
		send(w, 0x08, s.health()) // field 1
		end(w, codeOK, "", "")
	})
	routes.HandleFunc("POST /grpc.health.v1.Health/Watch", s.watchHealth)
	routes.HandleFunc("POST /shop.reference.v1.NotesService/Count", s.countNotes)
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		end(w, codeUnimplemented, "not_found", "There is no such method.")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accepted, _ := r.Context().Value(acceptedAt).(time.Time)
		switch isOld := time.Since(accepted) > age; {
		case isOld && broken("grpc.connection-age/cuts"):
			r.Context().Value(connection).(net.Conn).Close()
		case isOld && !broken("grpc.connection-age"):
			w.Header().Set("Connection", "close") // which HTTP/2 says with GOAWAY
		}
		ctx, cancel := context.WithTimeout(r.Context(), callersTime(r))
		defer cancel()
		routes.ServeHTTP(w, r.WithContext(ctx))
	})
}

// callersTime is how long the caller waits.
func callersTime(r *http.Request) time.Duration {
	text := r.Header.Get("grpc-timeout")
	if text == "" || broken("grpc.deadline") || broken("grpc.deadline/call") && !strings.HasPrefix(r.URL.Path, "/grpc.") {
		return time.Hour
	}
	value, err := strconv.Atoi(text[:len(text)-1])
	if err != nil {
		return time.Hour
	}
	return time.Duration(value) * units[text[len(text)-1:]]
}

func (s *service) health() byte {
	const serving, notServing = 1, 2
	if s.waitsFor() != "" && !broken("grpc.waits") || broken("grpc.ready") {
		return notServing
	}
	return serving
}

// watchHealth tells of each change until the caller's time is over or the process takes no more calls.
func (s *service) watchHealth(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	begin(w)
	told := byte(0)
	for {
		if now := s.health(); now != told {
			send(w, 0x08, now)
			told = now
		}
		select {
		case <-r.Context().Done():
			end(w, codeDeadlineExceeded, "deadline", "The time of the caller is over.")
			return
		case <-s.work.Done():
			code := codeUnavailable
			if broken("grpc.stop/streams") {
				code = codeOK
			}
			end(w, code, "stopping", "This process stops.")
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *service) countNotes(w http.ResponseWriter, r *http.Request) {
	begin(w)
	shown, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	isKnown := s.isOurs(shown) || found && broken("grpc.login/unknown")
	if !isKnown && !broken("grpc.login") {
		reason := "unauthenticated"
		if broken("grpc.problems/reason") {
			reason = "who_are_you"
		}
		end(w, codeUnauthenticated, reason, "Send the token of this service.")
		return
	}
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasSuffix(string(asked), "?") {
		end(w, codeInvalidArgument, "invalid", "This is nothing to count.")
		return
	}
	count := 0
	err = s.pool.QueryRow(r.Context(), "select count(*) from notes").Scan(&count)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		end(w, codeDeadlineExceeded, "deadline", "The answer was not ready in time.")
	case err != nil:
		end(w, codeUnavailable, "unavailable", "The database is not available.")
	default:
		send(w, binary.AppendUvarint([]byte{0x08}, uint64(count))...)
		end(w, codeOK, "", "")
	}
}

// begin says what comes.
func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
}

// send sends a message of a few bytes, which is not compressed.
func send(w http.ResponseWriter, message ...byte) {
	w.Write(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
	w.(http.Flusher).Flush()
}

// end says how the call ended, and where that is an error, why: a google.rpc.Status with a google.rpc.ErrorInfo.
func end(w http.ResponseWriter, code, reason, detail string) {
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", code)
	if code == codeOK {
		return
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", detail)
	if broken("grpc.problems") {
		return
	}
	number, _ := strconv.Atoi(code)
	info := append(field(1, reason), field(2, "shop")...)
	details := append(field(1, "type.googleapis.com/google.rpc.ErrorInfo"), field(2, string(info))...)
	status := append([]byte{0x08, byte(number)}, field(2, detail)...)
	status = append(status, field(3, string(details))...)
	w.Header().Set(http.TrailerPrefix+"Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(status))
}

// field is one of a message, with bytes in it.
func field(number byte, content string) []byte {
	head := binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(content)))
	return append(head, content...)
}
