package main

import (
	"strings"
	"testing"

	"shopkeeper.dev/email/internal/settings"
)

func TestAWrongURLOfTheDatabaseIsAWrongSettingToEveryCommand(t *testing.T) {
	for _, command := range []string{"serve", "migrate"} {
		for _, url := range []string{"postgres://u:s3cret@db:port/d", "postgres://u:s3cret@db/d?sslmode=require"} {
			err := run([]string{command}, settings.Env{
				"DATABASE_URL": url, "NATS_URL": "nats://127.0.0.1:1", "USERS_URL": "http://127.0.0.1:1", "HTTP_ADDR": "127.0.0.1:0",
				"ADMIN_ADDR": "127.0.0.1:0",
			})
			if err == nil || exitCode(err) != wrongSetting || !strings.Contains(err.Error(), "DATABASE_URL") ||
				strings.Contains(err.Error(), "s3cret") {
				t.Error(command, url, err)
			}
		}
	}
}

func TestAnArgumentThatIsNoCommandIsNamed(t *testing.T) {
	for _, arguments := range [][]string{{"nothing"}, {"serve", "nothing"}} {
		err := run(arguments, settings.Env{})
		if err == nil || exitCode(err) != wrongSetting || !strings.Contains(err.Error(), "nothing") {
			t.Error(arguments, err)
		}
	}
}
