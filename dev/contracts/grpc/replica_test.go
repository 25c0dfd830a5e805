package contracts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// accounts of the broker that dev/backends.sh makes: t0 to t255.
const accounts = 256

// patience is longer than anything here should take.
const patience = 30 * time.Second

// replica is a process of services/search.
type replica struct {
	t       *testing.T
	process *exec.Cmd
	// Where it listens.
	API, Admin, GRPC string
}

// backEnds are a database and an account of the broker, as settings of search.
func backEnds(t *testing.T) []string {
	t.Helper()
	database, broker := address(t, "TEST_DATABASE_URL"), address(t, "TEST_NATS_URL")
	admin, err := pgx.Connect(t.Context(), database.String())
	if err != nil {
		t.Fatal(err)
	}
	// Two tests that make it at once collide; then it is there. Tests of other programs count on with it.
	_, _ = admin.Exec(t.Context(), "create sequence if not exists broker_accounts")
	var account int
	if err := admin.QueryRow(t.Context(), "select nextval('broker_accounts')").Scan(&account); err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := admin.Exec(t.Context(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.Exec(context.Background(), "drop database "+name+" with (force)")
		_ = admin.Close(context.Background())
	})
	database.Path = name
	broker.User = url.UserPassword(fmt.Sprintf("t%d", account%accounts), "t")
	return []string{"DATABASE_URL=" + database.String(), "NATS_URL=" + broker.String()}
}

func address(t *testing.T, name string) *url.URL {
	t.Helper()
	address, err := url.Parse(os.Getenv(name))
	if err != nil || address.Host == "" {
		t.Fatalf("%s is not set; dev/contracts/grpc.sh sets it", name)
	}
	return address
}

func search(t *testing.T, argument string, settings []string) *exec.Cmd {
	t.Helper()
	binary := os.Getenv("TEST_SEARCH_BINARY")
	if binary == "" {
		t.Fatal("TEST_SEARCH_BINARY does not name the program of services/search; dev/contracts/grpc.sh builds it")
	}
	command := exec.Command(binary, argument)
	command.Stderr = os.Stderr
	command.Env = append(settings, "HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "GRPC_ADDR=127.0.0.1:0", "INDEX_DIR="+t.TempDir())
	return command
}

// start starts search on these back ends, and waits until it is ready.
func start(t *testing.T, settings []string) *replica {
	t.Helper()
	r := &replica{t: t, process: search(t, "serve", settings)}
	stdout, err := r.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.process.Process.Kill() })
	listening := make(chan replica, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var line struct{ Message, API, Admin, GRPC string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
				listening <- replica{API: line.API, Admin: line.Admin, GRPC: line.GRPC}
			}
		}
	}()
	select {
	case at := <-listening:
		r.API, r.Admin, r.GRPC = at.API, at.Admin, at.GRPC
	case <-time.After(patience):
		t.Fatal("search does not say where it listens")
	}
	for until := time.Now().Add(patience); !r.isReady(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("search is not ready")
		}
	}
	return r
}

func (r *replica) isReady() bool {
	response, err := http.Get("http://" + r.Admin + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop asks it to end, as Kubernetes does.
func (r *replica) stop() {
	r.t.Helper()
	_ = r.process.Process.Signal(syscall.SIGTERM)
	if err := r.process.Wait(); err != nil {
		r.t.Errorf("search ended with %v", err)
	}
}

// dial is a connection to its gRPC port.
func (r *replica) dial() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// send sends a request to the API over HTTP as an administrator, and wants this status.
func (r *replica) send(method, path string, body []byte, token string, status int) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.API+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != status {
		r.t.Fatalf("%s %s: %s %s", method, path, response.Status, text)
	}
}
