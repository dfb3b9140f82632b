// Command gohello greets as ordinary Go code does, with fmt and a map. Built as a reactor it starts up once and answers many requests,
// each from the same state; built with the tag command it is a program that runs once for each.
package main

import (
	"fmt"

	edged "edged.dev/edge/sdk/go"
)

func greet() error { //nolint:unused // see reactor.go
	greetings := map[string]string{"de": "hallo", "en": "hello", "fr": "bonjour", "ja": "konnichiwa"}
	language := edged.Request().Query("language")
	greeting, ok := greetings[language]
	if !ok {
		greeting = greetings["en"]
	}
	_, err := fmt.Fprintf(edged.Output(), "%s, %s\n", greeting, "world")
	return err
}
