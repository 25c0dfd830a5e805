package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// network is what counts as one client: an IPv4 address, or the /64 of IPv6 that one household has.
func network(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		prefix, _ := address.Prefix(64) // 64 is never too long.
		return prefix.Addr()
	}
	return address
}

func contains(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address.Unmap()) })
}

// cors lets the pages of these origins call, and read the answers. Tokens are sent by the page and never by the browser itself, so
// credentials are not allowed for.
func cors(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(origins, origin) {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "etag,location,retry-after")
		}
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		header.Set("Access-Control-Allow-Methods", "GET,POST,PUT,DELETE")
		header.Set("Access-Control-Allow-Headers", strings.Join([]string{"authorization", "content-type", "if-match",
			"if-none-match", "idempotency-key", "traceparent"}, ","))
		header.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusOK)
	})
}
