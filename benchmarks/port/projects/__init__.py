"""Three networks, each in torch and in Keras, as public projects write them: what is carried and trained on."""
