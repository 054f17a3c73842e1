"""The way in through a browser on this computer: a FastAPI server and its TypeScript client (`client/`)."""
