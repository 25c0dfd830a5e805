// A small service that honours the contract of a service (docs/service-contract.md). With BREAK=<line> it honours all of it but that
// line, with BREAK=<line>/<rule> all but one of the line's further rules: so the suite shows that each of its checks can fail.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const name = "reference"

// broken says whether this line of the contract, or this rule of it, is not to be honoured.
func broken(rule string) bool { return os.Getenv("BREAK") == rule }

// errSetting is a wrong setting, errBehind a schema that is behind.
type errSetting struct{ error }
type errBehind struct{ error }

func main() {
	command := "serve"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	err := run(command)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(err.Error()), " "))
	code := 1
	switch err.(type) {
	case errSetting:
		code = 2
	case errBehind:
		code = 3
	}
	os.Exit(code)
}

func run(command string) error {
	settings, err := readSettings(command)
	if err != nil {
		return err
	}
	slog.SetDefault(logger())
	switch command {
	case "serve":
		return serve(settings)
	case "migrate":
		return migrate(settings)
	default:
		if broken("image.arguments") {
			return serve(settings)
		}
		return fmt.Errorf("there is no command %s: give serve or migrate", command)
	}
}

type settings struct {
	database          string
	connections       int32
	broker            *url.URL
	http, admin, grpc string
	token             string
	users             string
	mail              mailSettings
}

func readSettings(command string) (settings, error) {
	var s settings
	var err error
	if s.database, err = secret("DATABASE_URL"); err != nil || command == "migrate" {
		return s, err
	}
	address, err := secret("NATS_URL")
	if err != nil {
		return s, err
	}
	if s.broker, err = url.Parse(address); err != nil {
		return s, wrong("NATS_URL", "give nats://user:password@host:4222")
	}
	if s.token, err = secret("API_TOKEN"); err != nil {
		return s, err
	}
	if s.users = setting("USERS_URL", ""); s.users == "" {
		return s, errSetting{errors.New("setting USERS_URL is missing")}
	}
	count, err := strconv.Atoi(setting("DATABASE_MAX_CONNECTIONS", "8"))
	if err != nil || count < 2 || count > 64 {
		return s, wrong("DATABASE_MAX_CONNECTIONS", "give a whole number from 2 to 64")
	}
	s.connections = int32(count)
	if broken("database.connections") {
		s.connections *= 4
	}
	if s.http, err = addressOf("HTTP_ADDR", "0.0.0.0:8080"); err != nil {
		return s, err
	}
	if s.admin, err = addressOf("ADMIN_ADDR", "0.0.0.0:9090"); err != nil {
		if broken("settings.wrong") {
			return s, errors.New(err.Error())
		}
		return s, err
	}
	if s.grpc, err = addressOf("GRPC_ADDR", "0.0.0.0:8081"); err != nil {
		return s, err
	}
	s.mail = mailSettings{address: net.JoinHostPort(setting("SMTP_HOST", ""), setting("SMTP_PORT", "587")), from: "shop@shop.example"}
	return s, nil
}

func wrong(name, cause string) error {
	return errSetting{fmt.Errorf("setting %s is wrong: %s", name, cause)}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func addressOf(name, otherwise string) (string, error) {
	address := setting(name, otherwise)
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", wrong(name, "give an address like 0.0.0.0:8080")
	}
	return address, nil
}

// secret is the value of the variable, or the content of the file that NAME_FILE names.
func secret(name string) (string, error) {
	if value := os.Getenv(name); value != "" {
		return value, nil
	}
	path := os.Getenv(name + "_FILE")
	if path == "" || broken("settings.file") && name == "API_TOKEN" {
		err := fmt.Errorf("setting %s is missing", name)
		if broken("settings.missing") && name == "DATABASE_URL" {
			return "", err
		}
		return "", errSetting{err}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		err = fmt.Errorf("setting %s_FILE names a file that cannot be read: %w", name, err)
		if broken("settings.file-unreadable") {
			return "", err
		}
		return "", errSetting{err}
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

func listen(address, name string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener, nil
	}
	err = fmt.Errorf("cannot listen on %s, as %s says: %w", address, name, err)
	if broken("exit.other") {
		err = errSetting{err}
	}
	return nil, err
}

// serve answers until SIGTERM, or until the schema is behind for good.
func serve(settings settings) error {
	if broken("image.unprivileged") {
		if err := os.WriteFile("/state", nil, 0o600); err != nil {
			return err
		}
	}
	if broken("start.listens") {
		time.Sleep(13 * time.Second)
	}
	term, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	api, err := listen(settings.http, "HTTP_ADDR")
	if err != nil {
		return err
	}
	admin, err := listen(settings.admin, "ADMIN_ADDR")
	if err != nil {
		return err
	}
	grpc, err := listen(settings.grpc, "GRPC_ADDR")
	if err != nil {
		return err
	}
	slog.Info("listening")
	s, err := newService(settings)
	if err != nil {
		return err
	}
	s.start(api, admin, grpc)
	if bad("leak") {
		go leak()
	}
	select {
	case <-term.Done():
		s.stop(true)
		if broken("stop.ends") {
			return errors.New("stopped")
		}
		return nil
	case err := <-s.behind:
		s.stop(false)
		return err
	}
}
