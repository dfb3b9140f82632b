// Package kvstore keeps the spaces of functions: ordered key-value namespaces over one bbolt file, with group commit,
// checksums and a durability class a space.
package kvstore
