package suite

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// ask makes one request and requires this answer.
func ask(ctx context.Context, url, want string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }() // read below
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("%w: %s answers %d with %.100q", ErrAnswer, url, response.StatusCode, body)
	}
	return nil
}
