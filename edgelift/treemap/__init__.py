"""A picture of what a bundle is made of: packs, their images, and these images' layers, by size."""
