package main

import (
	"net/http"
	"os"
	"time"
)

// bad says whether this is a bad release in this way. It honours the contract all the same: what is wrong with it shows when it is used, so
// that it takes more than a suite to find it.
func bad(how string) bool { return os.Getenv("BAD") == how }

const leaked = 8 << 20

// greet answers whoever asks, so that there are answers by which a release is judged.
func greet(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusNoContent)
}

// spoilt is what a bad release makes of answers.
func spoilt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bad("errors") {
			problem(w, r, http.StatusInternalServerError, "internal", "Something went wrong here.")
			return
		}
		if bad("slow") {
			time.Sleep(800 * time.Millisecond)
		}
		next.ServeHTTP(w, r)
	})
}

// leak takes more and more memory, a few seconds after the start.
func leak() {
	time.Sleep(5 * time.Second)
	var kept [][]byte
	for {
		more := make([]byte, leaked)
		for i := 0; i < leaked; i += 4096 {
			more[i] = 1
		}
		kept = append(kept, more)
		time.Sleep(100 * time.Millisecond)
	}
}
