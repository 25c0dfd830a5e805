package service

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/testsupport"
)

func TestTheListIsFilteredAndPagedNewestFirst(t *testing.T) {
	s := start(t, nil)
	user := s.register("zoe@home.example")
	s.register("max@home.example")
	s.untilMails("kind=welcome", 2, "kept")
	for range 3 {
		s.order(user)
	}
	all := s.untilMails("user_id="+user.String()+"&kind=order_confirmed", 3, "kept")
	path := "/mails?limit=2&kind=order_confirmed"
	var page struct {
		Items      []mailJSON
		NextCursor string `json:"next_cursor"`
	}
	s.api("GET", path).into(t, &page)
	if len(page.Items) != 2 || page.Items[0]["id"] != all[0]["id"] || page.NextCursor != page.Items[1]["id"] {
		t.Error(page)
	}
	rest := s.api("GET", path+"&cursor="+page.NextCursor)
	if !strings.Contains(rest.text, all[2]["id"].(string)) || strings.Contains(rest.text, "next_cursor") {
		t.Error(rest)
	}
	if answer := s.api("GET", "/mails?order_id="+newID().String()); answer.text != `{"items":[]}`+"\n" {
		t.Error(answer)
	}
}

func TestAMailCanBeReadAndPreviewedSafely(t *testing.T) {
	s := start(t, nil)
	order := s.order(s.register("zoe@home.example"))
	path := "/mails/" + s.untilMails("order_id="+order.String(), 1, "kept")[0]["id"].(string)
	var mail mailJSON
	s.api("GET", path).into(t, &mail)
	if !strings.Contains(mail["text"].(string), "2 x Tea <pot>: 39.98 EUR") || mail["attempts"] != 1.0 ||
		mail["order_id"] != order.String() {
		t.Error(mail)
	}
	preview := s.api("GET", path+"/preview")
	policy := preview.header.Get("Content-Security-Policy")
	if preview.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(policy, "default-src 'none';") ||
		!strings.Contains(policy, "sandbox") || !strings.Contains(preview.text, "Tea &lt;pot&gt;") {
		t.Error(preview)
	}
}

func TestWrongInputIsToldFieldByField(t *testing.T) {
	s := start(t, nil)
	for path, pointer := range map[string]string{
		"/mails?limit=0":                 "limit",
		"/mails?limit=101":               "limit",
		"/mails?limit=x":                 "limit",
		"/mails?limit=":                  "limit",
		"/mails?status=lost":             "status",
		"/mails?kind=letter":             "kind",
		"/mails?order_id=7":              "order_id",
		"/mails?status=sent&status=kept": "status",
		"/mails?cursor=" + newID().String() + "&user_id=": "user_id",
	} {
		answer := s.api("GET", path)
		if answer.status != 422 || !strings.Contains(answer.text, `"code":"invalid"`) ||
			!strings.Contains(answer.text, `"pointer":"`+pointer+`"`) || answer.header.Get("Content-Type") != "application/problem+json" {
			t.Error(path, answer)
		}
	}
	if answer := s.api("GET", "/mails?order_id="); !strings.Contains(answer.text, "must not be empty: leave it out instead") {
		t.Error(answer)
	}
	for path, code := range map[string]string{
		"/mails/" + newID().String(): "not_found", "/mails/x": "not_found", "/nothing": "not_found", "//mails": "not_found",
		"/mails/": "not_found",
	} {
		if answer := s.api("GET", path); answer.status != 404 || !strings.Contains(answer.text, code) {
			t.Error(path, answer)
		}
	}
	if answer := s.api("DELETE", "/mails"); answer.status != 405 || answer.header.Get("Allow") != "GET,HEAD" {
		t.Error(answer)
	}
}

func TestWhoMayNotAskIsToldThatFirst(t *testing.T) {
	s := start(t, nil)
	base := "http://" + s.running.API().String()
	for name, token := range map[string]string{
		"buyer":    s.issuer.Token(t, jwt.MapClaims{"roles": []string{"buyer"}}),
		"expired":  s.issuer.Token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}),
		"stranger": s.issuer.Token(t, jwt.MapClaims{"iss": "other"}),
		"audience": s.issuer.Token(t, jwt.MapClaims{"aud": "other"}),
		"for ever": s.issuer.Token(t, jwt.MapClaims{"exp": nil}),
		"nobody":   s.issuer.Token(t, jwt.MapClaims{"sub": "zoe"}),
		"none":     "",
		"changed":  s.issuer.Token(t, nil) + "x",
	} {
		for path, ofBuyer := range map[string]int{
			"/mails?user_id=" + newID().String(): 403, "/mails/x": 404, "/mails?limit=0": 422, "/delivery": 403, "/mails/" + newID().String(): 404,
		} {
			expected := 401
			if name == "buyer" {
				expected = ofBuyer
			}
			answer := s.do("GET", base+path, http.Header{"Authorization": {"bearer " + token}})
			if answer.status != expected || expected == 401 && answer.header.Get("WWW-Authenticate") != "Bearer" {
				t.Error(name, path, answer)
			}
		}
	}
}

func TestWhoeverAMailWasSentToReadsItAndNobodyElse(t *testing.T) {
	s := start(t, nil)
	zoe, max := s.register("zoe@home.example"), s.register("max@home.example")
	id := s.untilMails("user_id="+zoe.String(), 1, "kept")[0]["id"].(string)
	s.untilMails("user_id="+max.String(), 1, "kept")
	get := func(who uuid.UUID, path string) answer {
		token := s.issuer.Token(t, jwt.MapClaims{"sub": who.String(), "roles": []string{"buyer"}})
		return s.do("GET", "http://"+s.running.API().String()+path, http.Header{"Authorization": {"Bearer " + token}})
	}
	for _, path := range []string{"/mails", "/mails?user_id=" + zoe.String()} {
		var list struct{ Items []mailJSON }
		get(zoe, path).into(t, &list)
		if len(list.Items) != 1 || list.Items[0]["id"] != id {
			t.Error(path, list)
		}
	}
	for _, path := range []string{"/mails/" + id, "/mails/" + id + "/preview"} {
		if answer := get(zoe, path); answer.status != 200 {
			t.Error(path, answer)
		}
		if answer := get(max, path); answer.status != 404 {
			t.Error(path, answer)
		}
	}
}

func TestARequestEndsWithItsCallersTime(t *testing.T) {
	s := start(t, nil)
	s.register("zoe@home.example")
	s.untilMails("", 1, "kept")
	s.Execute("alter table mails rename to mails_of_all")
	s.Execute("create view mails as select m.* from mails_of_all m, pg_sleep(5)")
	took := elapsed(func() {
		if answer := s.api("GET", "/mails", "X-Deadline-Ms", "400"); answer.status != 503 && answer.status != 504 ||
			answer.header.Get("Retry-After") == "" {
			t.Error(answer)
		}
	})
	if took > 2*time.Second {
		t.Error(took)
	}
	if answer := s.api("GET", "/mails", "X-Deadline-Ms", "1"); answer.status != 504 || !strings.Contains(answer.text, `"deadline"`) {
		t.Error(answer)
	}
}

func TestTheTraceOfTheCallerIsTold(t *testing.T) {
	s := start(t, nil)
	trace := "4bf92f3577b34da6a3ce929d0e0e4736"
	if answer := s.api("GET", "/nothing", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01"); !strings.Contains(answer.text, trace) {
		t.Error(answer)
	}
	s.untilMetric(`http_server_request_duration_seconds_count{method="GET",route="none",status="404"} 1`)
}

func TestPagesOfNamedOriginsMayCall(t *testing.T) {
	s := start(t, settings.Env{"CORS_ORIGINS": "https://shop.example"})
	if answer := s.api("GET", "/delivery", "Origin", "https://shop.example"); answer.header.Get("Access-Control-Allow-Origin") !=
		"https://shop.example" {
		t.Error(answer)
	}
	if answer := s.api("GET", "/delivery", "Origin", "https://eve.example"); answer.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error(answer)
	}
	if answer := s.api("OPTIONS", "/delivery", "Origin", "https://shop.example"); answer.status != 200 ||
		!strings.Contains(answer.header.Get("Access-Control-Allow-Headers"), "authorization") {
		t.Error(answer)
	}
}

func TestOneClientHasAQuarterOfTheConnections(t *testing.T) {
	s := start(t, nil)
	for range 256 {
		conn, err := net.Dial("tcp", s.running.API().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	conn, err := net.Dial("tcp", s.running.API().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("it was not closed")
	}
	s.untilMetric("http_server_connections_refused_total 1")
}

// talk sends bytes over a connection of its own and reads what comes back.
func talk(t *testing.T, address net.Addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = fmt.Fprint(conn, request)
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func TestAHeadHasALargestSize(t *testing.T) {
	s := start(t, nil)
	head := func(size int) string {
		return "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", size) + "\r\n\r\n"
	}
	if line := talk(t, s.running.API(), head(15<<10)); !strings.Contains(line, "404") {
		t.Error(line)
	}
	if line := talk(t, s.running.API(), head(20<<10)); !strings.Contains(line, "431") {
		t.Error(line)
	}
}

func TestAStoppingServiceMovesItsClientsFirst(t *testing.T) {
	s := start(t, nil)
	if answer := s.api("GET", "/delivery"); answer.status != 200 || answer.close {
		t.Error(answer)
	}
	left := make(chan time.Duration)
	go func() { left <- elapsed(s.running.Leave) }()
	testsupport.Eventually(t, "it is not ready", func() bool {
		answer := s.admin(s.running, "/readyz")
		return answer.status == 503 && strings.Contains(answer.text, "stopping")
	})
	answer := s.api("GET", "/delivery")
	if answer.status != 200 || !answer.close {
		t.Error(answer)
	}
	if took := <-left; took < leaveTime {
		t.Error(took)
	}
	if took := elapsed(s.running.Stop); took > 5*time.Second {
		t.Error(took)
	}
	if _, err := net.Dial("tcp", s.running.API().String()); err == nil {
		t.Error("it still listens")
	}
}

func TestWithoutItsDependenciesItListensAndSaysWhatItWaitsFor(t *testing.T) {
	issuer := testsupport.NewIssuer(t)
	read, err := settings.Read(settings.Env{
		"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "NATS_URL": "nats://127.0.0.1:1", "USERS_URL": issuer.URL,
		"HTTP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	running, err := Start(read)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Stop)
	s := &shop{t: t, issuer: issuer, running: running}
	if answer := s.admin(running, "/livez"); answer.status != 200 {
		t.Error(answer)
	}
	testsupport.Eventually(t, "it says why", func() bool {
		text := s.admin(running, "/readyz").text
		return strings.HasPrefix(text, "waiting for: database (") && strings.Contains(text, ", broker")
	})
	answer := s.api("GET", "/mails")
	if answer.status != 503 || !strings.Contains(answer.text, `"unavailable"`) || answer.header.Get("Retry-After") != "2" {
		t.Error(answer)
	}
}

func TestASchemaThatIsPutBackIsToldAndEndsTheProcess(t *testing.T) {
	s := start(t, nil)
	s.Execute("drop table mails cascade")
	s.Execute("delete from refinery_schema_history")
	if answer := s.api("GET", "/mails"); answer.status != 503 || !strings.Contains(answer.text, `"schema_behind"`) {
		t.Error(answer)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case behind := <-s.running.Outdated():
		if behind.Error() != "the schema of the database is behind: version 0 found, 2 needed" {
			t.Error(behind)
		}
	case <-ctx.Done():
		t.Error("it goes on")
	}
	if answer := s.admin(s.running, "/readyz"); answer.status != 503 || !strings.Contains(answer.text, "version 0 found") {
		t.Error(answer)
	}
}
