"""The newcomer: follows the README word for word, where nothing of Callboard has been before."""
