module edged.dev/edge/bench

go 1.26.0

replace edged.dev/edge => ../
