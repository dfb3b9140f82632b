package pool

// Clean has the janitor come at once.
func (a *App) Clean() { a.idle.clean() }
