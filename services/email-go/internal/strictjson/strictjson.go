// Package strictjson reads JSON that other programs have agreed to write: what is missing is an error and not a zero.
package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Unmarshal reads data into a struct. Every field must be there and not null, save those that are pointers or have the option
// omitempty; what it does not know is ignored.
func Unmarshal(data []byte, to any) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	if err := present(data, reflect.TypeOf(to).Elem()); err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// present checks that the fields of the struct type t, and of structs within it, are there.
func present(data []byte, t reflect.Type) error {
	switch {
	case reflect.PointerTo(t).Implements(unmarshaler):
		return nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		var items []json.RawMessage
		if err := json.Unmarshal(data, &items); err != nil {
			return err
		}
		for i, item := range items {
			if err := present(item, t.Elem()); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
	case t.Kind() == reflect.Struct:
		return presentFields(data, t)
	}
	return nil
}

func presentFields(data []byte, t reflect.Type) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || field.Type.Kind() == reflect.Pointer || strings.Contains(options, "omitempty") {
			continue
		}
		value, ok := fields[name]
		if !ok || string(value) == "null" {
			return fmt.Errorf("missing field %q", name)
		}
		if err := present(value, field.Type); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
