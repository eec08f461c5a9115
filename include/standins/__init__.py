"""Local stand-ins for services that pipelines call; each is used over HTTP alone and imports nothing of the project."""
