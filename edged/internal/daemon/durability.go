package daemon

import (
	"errors"

	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/kvstore"
)

// appSpace returns the space of an app that is about to serve. It makes the space safer at once if the manifest asks for
// that, but never less safe: what serves now may count on it, and a deploy may still fail. [Daemon.relax] does the rest.
func (d *Daemon) appSpace(m *manifest.Manifest) (*kvstore.Space, error) {
	want := durability(m.KV.Durability)
	space, err := d.store.Lookup(m.KV.Space)
	switch {
	case errors.Is(err, kvstore.ErrSpaceNotFound):
		return d.store.Space(m.KV.Space, want)
	case err != nil:
		return nil, err
	case want == kvstore.Sync, (want == kvstore.Memory) != (space.Durability() == kvstore.Memory):
		return d.store.Space(m.KV.Space, want)
	}
	return space, nil
}

// relax gives every space that an app serves from the durability that the strictest of its apps asks for.
func (d *Daemon) relax() {
	strictest := make(map[string]kvstore.Durability)
	for _, one := range d.deployed() {
		m := one.version.Manifest
		want := durability(m.KV.Durability)
		if now, known := strictest[m.KV.Space]; !known || want < now {
			strictest[m.KV.Space] = want
		}
	}
	for name, want := range strictest {
		if _, err := d.store.Space(name, want); err != nil {
			d.logger.Error("durability of a space not changed", "space", name, "wanted", want, "error", err)
		}
	}
}
