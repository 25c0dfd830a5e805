// Email tells buyers by mail what happened to their account and their orders. It takes the place of services/email, and gives it
// back: see README.md.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/service"
	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/telemetry"
)

//go:embed VERSION
var version string

const (
	failed       = 1
	wrongSetting = 2
	// The schema of the database is behind: whoever started the process must migrate again.
	schemaBehind = 3
	// The file in which Kubernetes looks for the last words of a container.
	terminationMessage = "/dev/termination-log"
)

func main() {
	if err := run(os.Args[1:], settings.OfProcess()); err != nil {
		// The one last line of the output, which is what a cluster shows of a process that ended.
		fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	if _, ok := errors.AsType[*settings.Error](err); ok {
		return wrongSetting
	}
	if _, ok := errors.AsType[*database.Behind](err); ok {
		return schemaBehind
	}
	if errors.Is(err, errUsage) {
		return wrongSetting
	}
	return failed
}

var errUsage = errors.New("give serve, which is the default and serves requests until SIGTERM, or migrate, which brings the " +
	"database's schema up to date and exits")

func run(arguments []string, env settings.Env) error {
	level, err := settings.LogLevel(env)
	if err != nil {
		return err
	}
	slog.SetDefault(slog.New(telemetry.NewHandler(os.Stdout, service.Name, level)))
	limitMemory()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	switch strings.Join(arguments, " ") {
	case "", "serve":
		return serve(ctx, env)
	case "migrate":
		return migrate(ctx, env)
	}
	return fmt.Errorf("there is no command %q: %w", strings.Join(arguments, " "), errUsage)
}

func serve(told context.Context, env settings.Env) error {
	s, err := settings.Read(env)
	if err != nil {
		return err
	}
	running, err := service.Start(s)
	if err != nil {
		return err
	}
	slog.Info("listening", "version", strings.TrimSpace(version),
		"api", running.API().String(), "admin", running.Admin().String())
	select {
	case <-told.Done():
		slog.Info("told to stop")
		running.Leave()
		running.Stop()
		return nil
	case behind := <-running.Outdated():
		running.Stop()
		return behind
	}
}

func migrate(ctx context.Context, env settings.Env) error {
	url, err := settings.DatabaseURL(env)
	if err != nil {
		return err
	}
	schema, err := database.Migrate(ctx, url, service.Name)
	if err != nil {
		return err
	}
	say(schema)
	return nil
}

// say tells the cluster which code runs on the schema, so that no other is put back on it. Elsewhere nobody asks.
func say(schema database.Range) {
	message, err := json.Marshal(map[string]database.Range{"schema": schema})
	if err == nil {
		err = writeOver(terminationMessage, message)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		slog.Warn("the last words cannot be written", "error", err)
	}
}

// writeOver writes to a file that is there.
func writeOver(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// limitMemory keeps the heap below the limit of the container (cgroup 2 or 1), so that garbage is collected in time.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			debug.SetMemoryLimit(limit / 10 * 9)
		}
	}
}
