// Package settings reads the environment. A wrong setting ends the start with a sentence that names it.
package settings

import (
	"fmt"
	"os"
	"strings"
)

// Env is the environment of a process, or of a test. An empty variable counts as missing.
type Env map[string]string

// OfProcess is the environment of this process.
func OfProcess() Env {
	env := Env{}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return env
}

// Error is one sentence: which setting, what is wrong, what to give instead.
type Error struct{ sentence string }

func (e *Error) Error() string { return e.sentence }

// Wrong says what is wrong with the value of a setting.
func Wrong(name string, cause any) error {
	return &Error{fmt.Sprintf("setting %s is wrong: %v", name, cause)}
}

func missing(name, hint string) error {
	return &Error{fmt.Sprintf("setting %s is missing: give %s", name, hint)}
}

// secret is NAME, or the content of the file that NAME_FILE names; empty where neither is given.
func (e Env) secret(name string) (string, error) {
	if value := e[name]; value != "" {
		return value, nil
	}
	path := e[name+"_FILE"]
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", &Error{fmt.Sprintf("setting %s_FILE names the file %s, which cannot be read: %v", name, path, err)}
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

func (e Env) requiredSecret(name, hint string) (string, error) {
	value, err := e.secret(name)
	if err == nil && value == "" {
		err = missing(name, hint)
	}
	return value, err
}

// read parses the setting, or takes the default where it is missing.
func read[T any](e Env, name string, otherwise T, parse func(string) (T, error)) (T, error) {
	text := e[name]
	if text == "" {
		return otherwise, nil
	}
	value, err := parse(text)
	if err != nil {
		return otherwise, Wrong(name, err)
	}
	return value, nil
}
