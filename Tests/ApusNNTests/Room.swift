// Removed when the first real file of this room lands.
