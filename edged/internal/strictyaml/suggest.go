package strictyaml

import "strings"

// Nearest returns the candidate that word was most likely meant to be, or "" when none is near: at most a third of the
// longer word's letters, and at least one, may be added, left out, replaced or swapped with a neighbour.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", 0
	word = strings.ToLower(word)
	if len(word) > 64 {
		return "" // the distance costs the product of the lengths, and no name is that long
	}
	for _, candidate := range candidates {
		limit := max(1, max(len(word), len(candidate))/3)
		distance := editDistance(word, strings.ToLower(candidate))
		if distance <= limit && (best == "" || distance < bestDistance) {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// editDistance counts the edits between two words: insertions, deletions, replacements and swaps of neighbours (the
// restricted Damerau-Levenshtein distance), over bytes.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, row := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
