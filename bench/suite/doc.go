// Package suite has the workloads that edged is measured by, each a function of a Lab, and the tables they result in.
//
// Everything that is compared runs in the same minutes: for each round all sides take turns on the same core, with the
// generator on another one, and every answer is checked. Tables give medians over the rounds, and ratios of the values of one round.
package suite
